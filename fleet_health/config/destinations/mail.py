"""The type `mail`: mail by an SMTP server, or by the sendmail of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.config import values
from fleet_health.config.destinations.shared import HTTP_KEYS, DestinationType, chosen, password_problems, secret_key
from fleet_health.config.destinations.values import address, addresses, program, server
from fleet_health.config.key import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.shared import Problems


SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""The value of `security` -> the default port of the mail server."""


def _problems(found: Mapping[str, Any]) -> Problems:
    yield from chosen(found, "server", "sendmail")
    yield from password_problems(found)
    is_login = found["username"] is not None and found["password_file"] is not None
    if is_login and (found["server"] is None or found["security"] == "none"):
        yield "username", "a server with security starttls or tls, because no password is sent unencrypted", "neither"


MAIL = DestinationType(
    about="Sends mail, through an SMTP server or the sendmail of this machine. Everything about an incident is"
    " one thread.",
    keys={
        "to": Key(addresses, None, "The recipients."),
        "from": Key(address, None, "The sender."),
        "server": Key(server, None, "The SMTP server. Its port is 587 by default, 465 with `tls`."),
        "security": Key(
            values.choice(*SMTP_PORTS),
            "starttls",
            "How the connection is encrypted. `none` encrypts nothing, and allows no password.",
        ),
        "username": Key(values.text, None, "The user to log in as."),
        "password_file": secret_key("The file that holds the password."),
        "ca_file": HTTP_KEYS["ca_file"],
        "sendmail": Key(program, None, "The program that takes the mail instead of a server: `/usr/sbin/sendmail`."),
    },
    required=("to", "from"),
    problems=_problems,
)
