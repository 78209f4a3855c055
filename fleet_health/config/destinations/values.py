"""The kinds of values that only destinations have: URLs, mail addresses, commands, the places of secrets.

A reader takes the value in TOML and returns the value that the program uses. It raises `ValueError` with a text that
names what was expected.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fleet_health.config.values import is_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

_has_blank = re.compile(r"[\s\x00-\x1f\x7f]").search
_is_credential = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9_.-]{1,255}", re.ASCII).fullmatch
_is_header = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII).fullmatch
_is_header_value = re.compile(r"[\x20-\x7e]{0,1000}", re.ASCII).fullmatch
_is_label = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII).fullmatch
_is_address = re.compile(
    r"(?!-)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}(?:@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?)?", re.ASCII
).fullmatch
_is_server = re.compile(
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,253}|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?", re.ASCII
).fullmatch
_is_count = re.compile(r"[1-9]\d{0,8}", re.ASCII).fullmatch


def rate(raw: Any) -> tuple[int, int]:
    """Read a number within a duration, such as `"20/1h"`; returns the number and the duration in microseconds."""
    number, slash, within = raw.partition("/") if isinstance(raw, str) else ("", "", "")
    if not slash or not _is_count(number) or not is_duration(within) or not parse_duration(within):
        raise ValueError('a number within a duration, such as "20/1h"')
    return int(number), parse_duration(within)


def url(raw: Any) -> str:
    """Read an HTTP or HTTPS URL without a password, because everybody may read the configuration."""
    try:
        parts = urlsplit(raw if isinstance(raw, str) else "")
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or "@" in parts.netloc or _has_blank(raw):
        raise ValueError('a URL that begins with http:// or https://, without user and password, such as "https://…"')
    return str(raw)


def urls(raw: Any) -> tuple[str, ...]:
    """Read a list of addresses, each once."""
    with suppress(ValueError):
        found = tuple(map(url, raw if isinstance(raw, list) else [None]))
        if found and len(set(found)) == len(found):
            return found
    raise ValueError('a list of different URLs of http or https, without user and password, such as ["http://…:9093"]')


def labels(*taken: str) -> Callable[[Any], dict[str, str]]:
    """Return a reader of labels as in Prometheus, without reserved names."""

    def read(raw: Any) -> dict[str, str]:
        if not isinstance(raw, dict) or not all(
            _is_label(name) and name not in taken and isinstance(value, str) and value for name, value in raw.items()
        ):
            raise ValueError(f'a table of labels, such as {{ team = "ops" }}, and none called {", ".join(taken)}')
        return dict(raw)

    return read


def command(raw: Any) -> tuple[str, ...]:
    """Read a command: the absolute path of a program, and its arguments."""
    if (
        not isinstance(raw, list)
        or not raw
        or not all(isinstance(one, str) and "\0" not in one for one in raw)
        or not raw[0].startswith("/")
    ):
        raise ValueError(
            'a list of the absolute path of a program and its arguments, such as ["/usr/bin/logger", "-s"]'
        )
    return tuple(raw)


def program(raw: Any) -> str:
    """Read the absolute path of a program."""
    if not isinstance(raw, str) or not raw.startswith("/") or "\0" in raw:
        raise ValueError("the absolute path of a program")
    return raw


def address(raw: Any) -> str:
    """Read a mail address."""
    if not isinstance(raw, str) or not _is_address(raw):
        raise ValueError('a mail address such as "ops@example.org", without a name')
    return raw


def addresses(raw: Any) -> tuple[str, ...]:
    """Read a list of mail addresses."""
    with suppress(ValueError):
        if isinstance(raw, list) and raw:
            return tuple(map(address, raw))
    raise ValueError('a list of mail addresses such as ["ops@example.org"], without names')


def server(raw: Any) -> tuple[str, int | None]:
    """Read a host, and a port if there is one; returns None for the port if not."""
    found = _is_server(raw) if isinstance(raw, str) else None
    port = int(found["port"]) if found and found["port"] else None
    if not found or not (port is None or 0 < port < 65_536):  # noqa: PLR2004 - as many as there are
        raise ValueError('a host, with a port if it is not the usual one, such as "smtp.example.org:587"')
    return found["host"].strip("[]"), port


def secret_file(raw: Any) -> str:
    """Read the place of a secret: an absolute path, or the name of a credential that systemd passes to the service."""
    if not isinstance(raw, str) or not (_is_credential(raw) or (raw.startswith("/") and "\0" not in raw)):
        raise ValueError("the absolute path of a file that holds the secret, or the name of a systemd credential")
    return raw


def proxy(raw: Any) -> str:
    """Read the URL of a proxy, or `none`."""
    if raw == "none":
        return "none"
    with suppress(ValueError):
        return url(raw)
    raise ValueError('"none", or the URL of a proxy that begins with http:// or https://, without user and password')


def header_value(raw: Any) -> str:
    """Read the value of an HTTP header."""
    if not isinstance(raw, str) or not raw.strip() or not _is_header_value(raw):
        raise ValueError("printable ASCII, at most 1000 characters of it")
    return raw.strip()


def headers(raw: Any) -> dict[str, str]:
    """Read a table of HTTP headers."""
    if not isinstance(raw, dict) or not all(
        _is_header(name) and isinstance(value, str) and _is_header_value(value) for name, value in raw.items()
    ):
        raise ValueError('a table of HTTP headers, such as { X-Team = "ops" }, each value printable ASCII')
    return dict(raw)
