"""`apprise`: any service that Apprise knows, each message from a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from fleet_health.model.instant import SECOND_US
from fleet_health.notify import apprise_child, wording
from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.message import Kind
from fleet_health.notify.processes import run
from fleet_health.notify.secrets import Redaction, SecretError, read_secret

if TYPE_CHECKING:
    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.message import Message

LIMITS = (32_000, 4_000, 2_000, 1_000, 500, 250, 150)
"""The lengths of the texts, in bytes. A service gets the longest text that it takes whole."""

_LINE_LIMIT = 200


class _Result(msgspec.Struct):
    """The result that the process prints."""

    is_sent: bool
    service: str = ""
    said: str = ""
    is_missing: bool = False
    is_unknown: bool = False


class AppriseService:
    """Sends to the service that a URL names."""

    takes_groups: ClassVar[bool] = True

    def __init__(self, settings: DestinationSettings) -> None:
        self._url_file: str = settings.own["url_file"]
        self._timeout_s = settings.timeout_us / SECOND_US

    def send(self, message: Message) -> Delivered:
        """Deliver a message.

        Raises:
            DeliveryError: It was not taken.

        """
        url = read_secret(self._url_file, "url_file")
        texts = [(wording.subject(message, min(limit, wording.SUBJECT_LIMIT)), limit) for limit in LIMITS]
        task = {
            "url": url,
            "kind": _kind(message),
            # A service may put the title into the body.
            "texts": [(title, wording.text(message, limit - len(title.encode()) - 2)) for title, limit in texts],
        }
        command = (sys.executable, "-I", str(Path(apprise_child.__file__)))
        finished = run(command, msgspec.json.encode(task), self._timeout_s)
        # Apprise may print as well.
        lines = [line for line in finished.output.splitlines() if line.startswith(b'{"is_sent"')]
        try:
            result = msgspec.json.decode(lines[-1] if lines else b"", type=_Result)
        except msgspec.MsgspecError:
            raise DeliveryError(f"apprise: its process ended with status {finished.status} and no result") from None
        if result.is_missing:
            raise DeliveryError(
                "apprise: it is not installed; run packaging/install.sh --with-apprise from a checkout, as root"
            )
        if result.is_unknown:
            raise SecretError(f"url_file {self._url_file}: Apprise knows no such URL; its documentation lists them")
        redaction = Redaction([url, *url.partition("://")[2].split("/")])
        if not result.is_sent:
            said = wording.cut(redaction.clean(result.said), _LINE_LIMIT) or "no reason given"
            raise DeliveryError(f"apprise: {redaction.clean(result.service)} did not take it: {said}")
        return Delivered(f"sent by {wording.cut(redaction.clean(result.service), _LINE_LIMIT)}")

    def close(self) -> None:
        """Do nothing: no process is left after its message."""


def _kind(message: Message) -> str:
    if message.is_test:
        return "info"
    return "success" if all(one.kind is Kind.RESOLUTION for one in message.notifications) else "warning"


def build(settings: DestinationSettings) -> AppriseService:
    """Make a destination from its settings."""
    return AppriseService(settings)
