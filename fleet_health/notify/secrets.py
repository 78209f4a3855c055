"""Secrets of destinations: where they are read from, and how they are kept out of every text.

The configuration names a file, or a credential that systemd passes to the service (`LoadCredential=`). It is read at
each delivery, so a new password needs no reload. No error contains what was read.
"""

from __future__ import annotations

import base64
import html
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from fleet_health.errors import printable
from fleet_health.notify.destination import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
"""The variable with the directory of the service's credentials."""

OF_THE_SERVICE = Path("/run/credentials/fleet-health-notify.service")
"""The directory of the credentials while the service runs. Root reads them there for `notify test`."""

_LONGEST = 65_536
_HIDDEN = "…"
_WINDOW = 8


class SecretError(DeliveryError):
    """A secret cannot be read; `str()` names the file and what to do, and never quotes the content."""


def path_of(name: str) -> Path:
    """Return the file that a key such as `password_file` means: an absolute path, or the name of a credential."""
    if name.startswith("/"):
        return Path(name)
    directory = os.environ.get(CREDENTIALS_DIRECTORY)
    return (Path(directory) if directory else OF_THE_SERVICE) / name


def read_secret(name: str, key: str) -> str:
    """Read a secret, without the line break at its end.

    Args:
        name: An absolute path, or the name of a credential.
        key: The key of the configuration that names it, for errors.

    Raises:
        SecretError: It is missing, empty, longer than a line, or may not be read.

    """
    path = path_of(name)
    place = f"{key} {printable(str(path))}"
    try:
        octets = _content(path)
    except FileNotFoundError:
        raise SecretError(f"{place}: there is no such file; {how_to_provide(name)}") from None
    except PermissionError:
        raise SecretError(
            f"{place}: permission denied for user {os.geteuid()}; pass it as a credential instead: "
            f"{how_to_provide(path.name)}"
        ) from None
    except OSError as error:
        raise SecretError(f"{place}: {error.strerror}") from None
    if octets is None:
        raise SecretError(f"{place}: expected a file, found something else; write the secret into a file")
    if len(octets) > _LONGEST:
        raise SecretError(f"{place}: expected a secret of at most {_LONGEST} bytes, found a larger file")
    try:
        secret = octets.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretError(f"{place}: expected text in UTF-8, found other bytes") from None
    if not secret.strip():
        raise SecretError(f"{place}: the file is empty; write the secret into it, on one line")
    if any(sign in secret for sign in "\n\r\0"):
        raise SecretError(f"{place}: expected one line, found several, or a NUL byte")
    return secret


def _content(path: Path) -> bytes | None:
    """Return the beginning of a file, longer than a secret may be; None if it is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LONGEST + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def how_to_provide(name: str) -> str:
    """Return what to do so that a secret can be read, in a clause."""
    if name.startswith("/"):
        return "write the secret into it, on one line"
    path = f"/etc/fleet-health/secrets/{name}"
    return f"put the secret into {path}, and LoadCredential={name}:{path} into a drop-in of fleet-health-notify.service"


class Redaction:
    """Keeps secrets out of texts that come from elsewhere, such as the response of a server that echoes a request."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._parts: dict[int, set[str]] = {}
        for form in (form for secret in secrets if secret for form in _forms(secret)):
            length = min(_WINDOW, len(form))
            parts = self._parts.setdefault(length, set())
            parts.update(form[start : start + length] for start in range(len(form) - length + 1))

    def clean(self, text: str) -> str:
        """Return a text in one line; `…` if it contains a secret, or eight consecutive characters of one."""
        folded = text.lower()
        for length, parts in self._parts.items():
            if any(folded[start : start + length] in parts for start in range(len(folded) - length + 1)):
                return _HIDDEN
        return printable(" ".join(text.split()))


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms in which a secret may be written in a response."""
    octets = secret.encode()
    for form in (
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        base64.b64encode(octets).decode().rstrip("="),
        base64.urlsafe_b64encode(octets).decode().rstrip("="),
        octets.hex(),
    ):
        yield form.lower()
