"""Serve the pages as HTML, and the resources that they need.

Pages are made in threads, one at a time, like the other documents. Their Content-Security-Policy forbids loading from
other sites, and scripts and styles within a page.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiofiles.os import wrap

from fleet_health.api.requests import RequestError, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from typing import Any as Rendering  # the module `rendering`

    from fleet_health.api.documents import Documents
    from fleet_health.api.requests import Request

HTML = "text/html; charset=utf-8"
_SVG = "image/svg+xml"
_STATIC = Path(__file__).with_name("static")
_RESOURCES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of each page."""
_LAST_PAGE = 9_999_999
_HEADERS = (("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer"), ("Vary", "Accept"))


class Pages:
    """Responds with the pages."""

    def __init__(self, documents: Documents, one_at_a_time: AbstractAsyncContextManager[Any]) -> None:
        """Make the pages from documents. Hold `one_at_a_time` while a page is made."""
        self._documents = documents
        self._one_at_a_time = one_at_a_time

    async def overview(self, request: Request, _part: str) -> Response:
        """Return the overview of the fleet."""
        hosts = tuple(glob for text in request.query.get("host", ()) for glob in text.split())
        states = tuple(state for state in request.query.get("state", ()) if state)
        number = request.number("page", "a number from 1 on", least=1, most=_LAST_PAGE) or 1

        async def made(rendering: Rendering) -> bytes:
            wanted = rendering.view.Filter(hosts, states, number)
            document = await self._documents.overview(hosts, states, rendering.view.PAGE, wanted.offset)
            page: bytes = await wrap(rendering.overview)(document, wanted)
            return page

        return await self._page(made)

    async def host(self, _request: Request, host: str) -> Response:
        """Return the page about a host, a receiver or the fleet as a whole."""

        async def made(rendering: Rendering) -> bytes:
            document = await self._documents.explanation(host, is_with_incidents=True)
            page: bytes = await wrap(rendering.host)(document)
            return page

        return await self._page(made)

    async def silences(self, _request: Request, _part: str) -> Response:
        """Return the page with the active silences."""
        return await self._of_fleet(lambda rendering: rendering.silences)

    async def wall(self, _request: Request, _part: str) -> Response:
        """Return the page for a wall screen."""
        return await self._of_fleet(lambda rendering: rendering.wall)

    async def badge(self, _request: Request, _part: str) -> Response:
        """Return the badge."""
        return await self._of_fleet(lambda rendering: rendering.badge, _SVG)

    async def _of_fleet(self, renderer: Callable[[Rendering], Callable[..., bytes]], kind: str = HTML) -> Response:
        """Return a page about the fleet without a list of hosts."""

        async def made(rendering: Rendering) -> bytes:
            return await wrap(renderer(rendering))(await self._documents.overview((), (), 0, 0))

        return await self._page(made, kind)

    async def _page(self, made: Callable[[Rendering], Awaitable[bytes]], kind: str = HTML) -> Response:
        async with self._one_at_a_time:
            return Response(HTTPStatus.OK, await made(await wrap(_rendering)()), kind, _HEADERS)

    async def resource(self, request: Request, _part: str) -> Response:
        """Return the style sheet or the script."""
        name = request.path[-1]
        content = await wrap((_STATIC / name).read_bytes)()
        return _cacheable(request, content, _RESOURCES[name])

    async def icon(self, request: Request, name: str) -> Response:
        """Return the favicon for a mood.

        Raises:
            RequestError: There is no such icon.

        """
        drawing = (await wrap(_rendering)()).drawing
        icons = {f"{mood}.svg": mood for mood in drawing.MOODS}
        if name not in icons:
            raise RequestError(f"expected one of {', '.join(icons)}, found {name[:80]!r}", HTTPStatus.NOT_FOUND)
        return _cacheable(request, drawing.favicon(icons[name]).encode(), _SVG)

    async def problem(self, error: RequestError, depth: int) -> Response:
        """Return a page with an error.

        Args:
            error: The error.
            depth: The number of directories in the path of the request.

        """
        rendering = await wrap(_rendering)()
        title = HTTPStatus(error.status).phrase
        body = rendering.problem(str(error), error.status, title, "../" * depth or "./")
        return Response(error.status, body, HTML, (*_HEADERS, *error.headers.items()))


async def page_files(documents: Documents) -> Mapping[str, bytes]:
    """Return file name -> content of the pages for a web server, without the pages about single hosts."""
    rendering = await wrap(_rendering)()
    document = await documents.overview((), (), rendering.view.FILE_HOSTS, 0)
    files: dict[str, bytes] = await wrap(rendering.files)(document)
    return files | {name: await wrap((_STATIC / name).read_bytes)() for name in _RESOURCES}


def _rendering() -> Rendering:
    """Return the module that renders pages, imported now to save memory in a service without viewers."""
    from fleet_health.api.page import rendering  # noqa: PLC0415

    return rendering


def _cacheable(request: Request, content: bytes, kind: str) -> Response:
    """Return a response that a browser may cache and validate by its tag."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = (("ETag", tag), ("Cache-Control", "no-cache"), ("Content-Security-Policy", "default-src 'none'"))
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known:  # a compressing proxy makes the tag weak
        return Response(HTTPStatus.NOT_MODIFIED, b"", kind, headers)
    return Response(HTTPStatus.OK, content, kind, headers)
