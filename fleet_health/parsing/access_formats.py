"""The formats of access lines of known servers: the parts of a request in a line, and their escaping.

Each format was compared with the lines of the real server for hostile requests (tests/security).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable

_DATE = "26/Nov/2026:05:55:43 +0000"
_PHRASES = {201: "Created", 412: "Precondition Failed"}
_blank = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that servers log. The client chooses all of them but the status.

    Attributes:
        path: The path, percent-encoded as sent.
        method: The method.
        status: The status of the response.
        query: The query; empty if there is none.
        forwarded: The X-Forwarded-For header; empty if there is none.
        user: The user of basic authentication; empty if there is none.
        referer: The Referer header.
        agent: The User-Agent header.

    """

    path: str
    method: str = "PUT"
    status: int = 412
    query: str = ""
    forwarded: str = ""
    user: str = ""
    referer: str = "-"
    agent: str = "-"

    @property
    def target(self) -> str:
        """The path and the query, without blanks, which no server accepts."""
        path = _blank.sub("%20", self.path)
        return f"{path}?{_blank.sub('+', self.query)}" if self.query else path


@dataclass(frozen=True, slots=True)
class AccessFormat:
    """The format in which a server logs a request.

    Attributes:
        name: The server, and the name of the format.
        write: Returns the line for a request; several lines if a client can put a line break into it.
        fields: The parts of a line that a client chooses, as attributes of `Request`.
        breaks_lines: Whether a client can put a line break into a line.

    """

    name: str
    write: Callable[[Request], str]
    fields: tuple[str, ...]
    breaks_lines: bool = False


FIELD_NAMES = {
    "path": "the path",
    "query": "the query",
    "forwarded": "X-Forwarded-For",
    "user": "the user of basic authentication",
    "referer": "Referer",
    "agent": "User-Agent",
}


def _uvicorn(request: Request) -> str:
    """Return a line of uvicorn's access logger, which trusts X-Forwarded-For from 127.0.0.1 by default."""
    client = request.forwarded.rpartition(",")[2].strip()
    if not client:
        client = "127.0.0.1:50000"
    elif not re.fullmatch(r"[^:]*:\d+", client):
        client += ":0"
    path = quote(unquote(request.path)) + (f"?{_blank.sub('+', request.query)}" if request.query else "")
    return f'{client} - "{request.method} {path} HTTP/1.1" {request.status}'


def _uvicorn_default(request: Request) -> str:
    return f"INFO:     {_uvicorn(request)} {_PHRASES.get(request.status, '')}"


def _escaped_by_nginx(text: str) -> str:
    return re.sub(
        r'[\x00-\x1f"\\\x7f-\U0010ffff]',
        lambda found: "".join(f"\\x{octet:02X}" for octet in found[0].encode("utf-8", "surrogateescape")),
        text,
    )


def _escaped_by_quotes(text: str) -> str:
    return text.replace('"', '\\"')


def _combined(request: Request, escape: Callable[[str], str]) -> str:
    user, referer, agent = (escape(text) for text in (request.user or "-", request.referer, request.agent))
    line = escape(f"{request.method} {request.target} HTTP/1.1")
    return f'127.0.0.1 - {user.partition(":")[0]} [{_DATE}] "{line}" {request.status} 0 "{referer}" "{agent}"'


def _nginx_json(request: Request) -> str:
    uri = json.dumps(_blank.sub("%20", request.path), ensure_ascii=False)
    return f'{{"method":"{request.method}","uri":{uri},"status":"{request.status}"}}'


def _gunicorn_request(request: Request) -> str:
    return f'127.0.0.1 [{_DATE}] "{_escaped_by_quotes(f"{request.method} {request.target} HTTP/1.1")}" {request.status}'


def _hypercorn(request: Request) -> str:
    line = f"{request.method} {unquote(request.path)} 1.1"
    return (
        f"[2026-11-26 05:55:43 +0000] [13675] [INFO] 127.0.0.1:48026 - - [{_DATE}]"
        f' "{line}" {request.status} 0 "{request.referer}" "{request.agent}"'
    )


def _granian(request: Request) -> str:
    line = f"{request.method} {unquote(request.path)} HTTP/1.1"
    return f'[2026-11-26 05:55:43 +0000] 127.0.0.1 - "{line}" {request.status} 0.037'


def _caddy(request: Request, *, is_filtered: bool) -> str:
    headers = {"User-Agent": [request.agent], "Referer": [request.referer], "X-Forwarded-For": [request.forwarded]}
    document = {
        "level": "info" if request.status < 400 else "error",  # noqa: PLR2004
        "ts": 1795672708.454,
        "logger": "http.log.access.log0",
        "msg": "handled request",
        "request": {
            "remote_ip": "127.0.0.1",
            "remote_port": "48050",
            "proto": "HTTP/1.1",
            "method": request.method,
            **({} if is_filtered else {"host": "x"}),
            "uri": request.target,
            **({} if is_filtered else {"headers": headers}),
        },
        **({} if is_filtered else {"user_id": request.user}),
        "duration": 0.00001389,
        "size": 0,
        "status": request.status,
        **({} if is_filtered else {"resp_headers": {"Server": ["Caddy"]}}),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


FORMATS = (
    AccessFormat("uvicorn", _uvicorn_default, ("forwarded", "query", "path")),
    AccessFormat("uvicorn, without a level", _uvicorn, ("forwarded", "query", "path")),
    AccessFormat(
        "uvicorn, by the root logger",
        lambda request: f"INFO:uvicorn.access:{_uvicorn(request)}",
        ("forwarded", "query", "path"),
    ),
    AccessFormat(
        "nginx, combined",
        lambda request: _combined(request, _escaped_by_nginx),
        ("agent", "referer", "user", "query", "path"),
    ),
    AccessFormat("nginx, the path as JSON", _nginx_json, ("path",)),
    AccessFormat(
        "Apache, combined",
        lambda request: _combined(request, lambda text: json.dumps(text)[1:-1]),
        ("agent", "referer", "user", "query", "path"),
    ),
    AccessFormat(
        "gunicorn",
        lambda request: _combined(request, _escaped_by_quotes),
        ("agent", "referer", "user", "query", "path"),
        breaks_lines=True,
    ),
    AccessFormat("gunicorn, the request alone", _gunicorn_request, ("query", "path")),
    AccessFormat("hypercorn", _hypercorn, ("agent", "referer", "path"), breaks_lines=True),
    AccessFormat("granian", _granian, ("path",), breaks_lines=True),
    AccessFormat(
        "Caddy",
        lambda request: _caddy(request, is_filtered=False),
        ("agent", "referer", "forwarded", "user", "query", "path"),
    ),
    AccessFormat("Caddy, without headers", lambda request: _caddy(request, is_filtered=True), ("query", "path")),
)
