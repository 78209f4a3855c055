"""URLs of destinations. The path of one often holds a secret, so texts name its host alone. Pure."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

from fleet_health.errors import printable

_PORTS = {"http": 80, "https": 443}


def is_url(text: str) -> bool:
    """Return whether a request can be sent to it: an absolute URL of http or https, with a host."""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and not any(sign <= " " or sign == "\x7f" for sign in text)


def redacted(url: str) -> str:
    """Return a URL without what may be secret in it: `https://hooks.example.org/…`."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        return "…"
    host = parts.hostname or ""
    rest = "/…" if parts.path.strip("/") or parts.query else ""
    return printable(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{rest}")


def login(parts: SplitResult) -> str | None:
    """Return user and password of a URL, as `user:password`; None if there is no user in it."""
    return None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
