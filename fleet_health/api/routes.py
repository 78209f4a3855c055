"""The routes of the API: paths, parameters, and the functions that respond."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from aiofiles.os import wrap

from fleet_health.api.exposition import OPENMETRICS, TEXT, is_openmetrics_wanted
from fleet_health.api.page.pages import Pages
from fleet_health.api.requests import Request, RequestError, Response
from fleet_health.api.share import Share
from fleet_health.api.silence_requests import user_name
from fleet_health.api.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from fleet_health.api.documents import Documents
    from fleet_health.api.silence_requests import SilenceRequests

    Headers: TypeAlias = Sequence[tuple[str, str]]

DESCRIPTION = Path(__file__).with_name("openapi.json")
"""The description of the API, as OpenAPI 3.1."""

READER = "fleet-health-notify"
"""The user that sends notifications. Because it uses the network, it may only read."""

_READS = ("GET", "HEAD")
_LONGEST_WAIT_S = 300


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        method: The method; GET includes HEAD.
        path: The path, such as `/v1/hosts/{host}`. Only the last part may be variable.
        respond: Returns the response to a request, given the variable part.
        parameters: The accepted query parameters.

    """

    method: str
    path: str
    respond: Callable[[Request, str], Awaitable[Response]]
    parameters: frozenset[str] = frozenset()

    def matches(self, parts: tuple[str, ...]) -> bool:
        """Return whether a path, as decoded parts, matches."""
        own = self.path[1:].split("/")
        return len(own) == len(parts) and all(
            (bool(part) if mine.startswith("{") else mine == part) for mine, part in zip(own, parts, strict=True)
        )


class Api:
    """Responds to requests, making one document at a time, because that takes several times its size in memory."""

    def __init__(
        self,
        documents: Documents,
        silences: SilenceRequests,
        request_reload: Callable[[], None],
        share: float = 1.0,
    ) -> None:
        """Respond to requests.

        Args:
            documents: Makes the documents.
            silences: Creates and ends silences.
            request_reload: Requests a reload of the configuration.
            share: The largest share of time for documents.

        """
        self._documents = documents
        self._silences = silences
        self._request_reload = request_reload
        self._one_at_a_time = Share(share)
        self._pages = pages = Pages(documents, self._one_at_a_time)
        self._streams = streams = Streams(documents.publication)
        self._start = secrets.token_hex(4)  # evaluations before a restart may have the same number
        hosts = frozenset(("host", "state", "limit"))
        self.routes = (
            Route("GET", "/healthz", self._health),
            Route("GET", "/metrics", self._metrics),
            Route("GET", "/v1/openapi.json", self._description),
            Route("GET", "/v1/status", self._status, hosts),
            Route("GET", "/v1/hosts", self._hosts, hosts),
            Route("GET", "/v1/hosts/{host}", self._host),
            Route("GET", "/v1/incidents", self._incidents, frozenset(("wait",))),
            Route("GET", "/v1/notifications", streams.notifications, frozenset(("after", "follow"))),
            Route("GET", "/v1/silences", self._active_silences),
            Route("POST", "/v1/silences", self._add_silence),
            Route("DELETE", "/v1/silences/{id}", self._end_silence, frozenset(("on_behalf_of",))),
            Route("POST", "/v1/reload", self._reload, frozenset(("dry_run",))),
            Route("GET", "/", pages.overview, frozenset(("host", "state", "page"))),
            Route("GET", "/hosts/{host}", pages.host),
            Route("GET", "/silences", pages.silences),
            Route("GET", "/wall", pages.wall),
            Route("GET", "/badge.svg", pages.badge),
            Route("GET", "/changes", streams.changes),
            Route("GET", "/page.css", pages.resource),
            Route("GET", "/page.js", pages.resource),
            Route("GET", "/icons/{icon}", pages.icon),
        )

    async def __call__(self, request: Request) -> Response:
        """Return the response to a request.

        Raises:
            RequestError: The response is an error.

        """
        parts = request.path
        if not self._is_for_browser(request):
            return await self._respond(request, parts)
        try:
            return await self._respond(request, parts)
        except RequestError as error:
            return await self._pages.problem(error, len(parts) - 1)

    @staticmethod
    def _is_for_browser(request: Request) -> bool:
        return request.headers.get("accept", "").startswith("text/html")

    async def _respond(self, request: Request, parts: tuple[str, ...]) -> Response:
        route = self._route_of(request.method, parts)
        if strange := sorted(request.query.keys() - route.parameters):
            known = ", ".join(sorted(route.parameters)) or "none"
            raise RequestError(f"expected parameters from {known} at {route.path}, found {strange[0]!r}")
        return await route.respond(request, parts[-1])

    def _route_of(self, method: str, parts: tuple[str, ...]) -> Route:
        here = [route for route in self.routes if route.matches(parts)]
        if not here:
            paths = ", ".join(dict.fromkeys(route.path for route in self.routes))
            raise RequestError(f"there is nothing at this path; the paths are {paths}", HTTPStatus.NOT_FOUND)
        wanted = "GET" if method == "HEAD" else method
        for route in here:
            if route.method == wanted:
                return route
        methods = [name for route in here for name in (_READS if route.method == "GET" else (route.method,))]
        raise RequestError(
            f"expected {' or '.join(methods)} at {here[0].path}, found {method}",
            HTTPStatus.METHOD_NOT_ALLOWED,
            {"Allow": ", ".join(methods)},
        )

    async def _document(
        self, document: Awaitable[Mapping[str, Any]], status: int = HTTPStatus.OK, headers: Headers = ()
    ) -> Response:
        async with self._one_at_a_time:
            body = await wrap(_encoded)(await document)  # the document about a large fleet has megabytes
            return Response(status, body, headers=headers)

    async def _health(self, _request: Request, _part: str) -> Response:
        document = self._documents.health()
        is_well = document["health"] == "ok"
        return Response(HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, _encoded(document))

    async def _metrics(self, request: Request, _part: str) -> Response:
        is_openmetrics = is_openmetrics_wanted(request.headers.get("accept", ""))
        async with self._one_at_a_time:
            text = await self._documents.metrics(is_openmetrics=is_openmetrics)
        return Response(HTTPStatus.OK, text, OPENMETRICS if is_openmetrics else TEXT, (("Vary", "Accept"),))

    async def _description(self, _request: Request, _part: str) -> Response:
        return Response(HTTPStatus.OK, await wrap(DESCRIPTION.read_bytes)())

    async def _status(self, request: Request, _part: str) -> Response:
        return await self._document(self._fleet(request))

    async def _hosts(self, request: Request, _part: str) -> Response:
        async def hosts() -> Mapping[str, Any]:
            status = await self._fleet(request)
            keys = ("version", "at_wall", "strip_bin_s", "hosts_by_state", "hosts_matching", "hosts")
            return {key: status[key] for key in keys}

        return await self._document(hosts())

    async def _fleet(self, request: Request) -> Mapping[str, Any]:
        query = request.query
        return await self._documents.status(query.get("host", []), query.get("state", []), request.number("limit"))

    async def _host(self, _request: Request, host: str) -> Response:
        return await self._document(self._documents.explanation(host))

    async def _incidents(self, request: Request, _part: str) -> Response:
        """Return the incidents. If the client already has the latest ones, wait for the next evaluation."""
        wait_s = request.number("wait", f"a number of seconds, at most {_LONGEST_WAIT_S}", most=_LONGEST_WAIT_S)
        known = request.headers.get("if-none-match", "")
        if wait_s and known == self._tag:
            with suppress(TimeoutError), self._streams.waiting():
                async with asyncio.timeout(wait_s):
                    await self._documents.publication.change.wait()
        if known == self._tag:
            return Response(HTTPStatus.NOT_MODIFIED, b"", headers=(("ETag", self._tag),))
        async with self._one_at_a_time:
            number, document = await self._documents.incidents()
            headers = (("ETag", self._tag_of(number)),)
            return Response(HTTPStatus.OK, await wrap(_encoded)(document), headers=headers)

    @property
    def _tag(self) -> str:
        return self._tag_of(self._documents.publication.number)

    def _tag_of(self, number: int) -> str:
        return f'"{self._start}-{number}"'

    async def _active_silences(self, _request: Request, _part: str) -> Response:
        return await self._document(self._documents.active_silences())

    async def _add_silence(self, request: Request, _part: str) -> Response:
        wanted = request.document
        status = HTTPStatus.OK if wanted.get("is_trial") else HTTPStatus.CREATED
        return await self._document(self._silences.add(wanted, _user(request)), status)

    async def _end_silence(self, request: Request, id_: str) -> Response:
        wanted = {"id": id_, "on_behalf_of": request.query.get("on_behalf_of", [None])[-1]}
        return await self._document(self._silences.end(wanted, _user(request)))

    async def _reload(self, request: Request, _part: str) -> Response:
        if request.flag("dry_run", default=False):
            return await self._document(self._documents.preview())
        if request.uid not in {0, os.geteuid()}:
            raise RequestError(
                f"only root and the service's own user may reload the configuration, found user {request.uid};"
                " `fleet-health reload --dry-run` shows what would change",
                HTTPStatus.FORBIDDEN,
            )
        self._request_reload()
        return Response(HTTPStatus.ACCEPTED, _encoded({"is_requested": True}))


def _encoded(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def _user(request: Request) -> int:
    """Return the user who requests a change.

    Raises:
        RequestError: The user is unknown, or may only read.

    """
    if request.uid is None:
        raise RequestError("this listener is read-only; use the control socket", HTTPStatus.FORBIDDEN)
    if user_name(request.uid) == READER:
        raise RequestError(f"{READER} may only read; use another user", HTTPStatus.FORBIDDEN)
    return request.uid
