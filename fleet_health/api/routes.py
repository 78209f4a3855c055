"""The routes of the API: paths, their parameters, and what answers them."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import contextmanager, suppress
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

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence

    from fleet_health.api.answers import Answers
    from fleet_health.service.publication import Notification

    Headers: TypeAlias = Sequence[tuple[str, str]]

DESCRIPTION = Path(__file__).with_name("openapi.json")
"""The description of the API, as OpenAPI 3.1."""

READER = "fleet-health-notify"
"""The user that sends notifications: it talks to the network, so it must not be able to silence anything."""

_DIGITS = 9
_READS = ("GET", "HEAD")

# How many clients may wait for events: the other connections are for requests that are answered at once.
_WAITING_LIMIT = 8
_LONGEST_WAIT_S = 300
_HEARTBEAT_S = 15.0
_LINES, _EVENTS = "application/jsonl", "text/event-stream"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, and what answers it.

    Attributes:
        method: The method; GET includes HEAD.
        path: The path, such as `/v1/hosts/{host}`: only the last part may be variable.
        answer: Returns the response to a request, given the variable part.
        parameters: The query parameters that it accepts.

    """

    method: str
    path: str
    answer: Callable[[Request, str], Awaitable[Response]]
    parameters: frozenset[str] = frozenset()

    def matches(self, parts: tuple[str, ...]) -> bool:
        """Return whether a path, as decoded parts, matches."""
        own = self.path[1:].split("/")
        return len(own) == len(parts) and all(
            (bool(part) if mine.startswith("{") else mine == part) for mine, part in zip(own, parts, strict=True)
        )


class Api:
    """Answers requests. Makes one document at a time: that takes several times its size in memory."""

    def __init__(self, answers: Answers, share: float = 1.0) -> None:
        """Take what makes the documents, and the share of the time that may be spent on them."""
        self._answers = answers
        self._one_at_a_time = Share(share)
        self._pages = pages = Pages(answers, self._one_at_a_time)
        self._waiters = 0
        self._start = secrets.token_hex(4)  # an evaluation before the last restart may have the same number
        hosts = frozenset(("host", "state", "limit"))
        self.routes = (
            Route("GET", "/healthz", self._health),
            Route("GET", "/metrics", self._metrics),
            Route("GET", "/v1/openapi.json", self._description),
            Route("GET", "/v1/status", self._status, hosts),
            Route("GET", "/v1/hosts", self._hosts, hosts),
            Route("GET", "/v1/hosts/{host}", self._host),
            Route("GET", "/v1/incidents", self._incidents, frozenset(("wait",))),
            Route("GET", "/v1/notifications", self._notifications, frozenset(("after", "follow"))),
            Route("GET", "/v1/silences", self._silences),
            Route("POST", "/v1/silences", self._add_silence),
            Route("DELETE", "/v1/silences/{id}", self._end_silence, frozenset(("on_behalf_of",))),
            Route("POST", "/v1/reload", self._reload, frozenset(("dry_run",))),
            Route("GET", "/", pages.overview, frozenset(("host", "state", "page"))),
            Route("GET", "/hosts/{host}", pages.host),
            Route("GET", "/silences", pages.silences),
            Route("GET", "/wall", pages.wall),
            Route("GET", "/badge.svg", pages.badge),
            Route("GET", "/changes", self._changes),
            Route("GET", "/page.css", pages.resource),
            Route("GET", "/page.js", pages.resource),
            Route("GET", "/icons/{icon}", pages.icon),
        )

    async def __call__(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            RequestError: The response is an error.

        """
        parts = request.path
        if not self._is_for_browser(request):
            return await self._answer(request, parts)
        try:
            return await self._answer(request, parts)
        except RequestError as error:
            return await self._pages.problem(error, len(parts) - 1)

    @staticmethod
    def _is_for_browser(request: Request) -> bool:
        return request.headers.get("accept", "").startswith("text/html")

    async def _answer(self, request: Request, parts: tuple[str, ...]) -> Response:
        route = self._route_of(request.method, parts)
        if strange := sorted(request.query.keys() - route.parameters):
            known = ", ".join(sorted(route.parameters)) or "none"
            raise RequestError(f"expected parameters from {known} at {route.path}, found {strange[0]!r}")
        return await route.answer(request, parts[-1])

    def _route_of(self, method: str, parts: tuple[str, ...]) -> Route:
        here = [route for route in self.routes if route.matches(parts)]
        if not here:
            paths = ", ".join(dict.fromkeys(route.path for route in self.routes))
            raise RequestError(f"there is nothing at this path; there is {paths}", HTTPStatus.NOT_FOUND)
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
            return Response(
                status, await wrap(_encoded)(await document), headers=headers
            )  # the document of a fleet has megabytes

    async def _health(self, _request: Request, _part: str) -> Response:
        document = self._answers.health()
        is_well = document["health"] == "ok"
        return Response(HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, _encoded(document))

    async def _metrics(self, request: Request, _part: str) -> Response:
        is_openmetrics = is_openmetrics_wanted(request.headers.get("accept", ""))
        async with self._one_at_a_time:
            text = await self._answers.metrics(is_openmetrics=is_openmetrics)
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
        return await self._answers.status(query.get("host", []), query.get("state", []), _limit(query))

    async def _host(self, _request: Request, host: str) -> Response:
        return await self._document(self._answers.explanation(host))

    async def _incidents(self, request: Request, _part: str) -> Response:
        """Answer with the incidents. If the client has the latest ones, wait for the next evaluation."""
        wait_s = _seconds(request.query)
        known = request.headers.get("if-none-match", "")
        if wait_s and known == self._tag:
            with suppress(TimeoutError), self._waiting():
                async with asyncio.timeout(wait_s):
                    await self._answers.publication.change.wait()
        if known == self._tag:
            return Response(HTTPStatus.NOT_MODIFIED, b"", headers=(("ETag", self._tag),))
        async with self._one_at_a_time:
            number, document = await self._answers.incidents()
            headers = (("ETag", self._tag_of(number)),)
            return Response(HTTPStatus.OK, await wrap(_encoded)(document), headers=headers)

    @property
    def _tag(self) -> str:
        return self._tag_of(self._answers.publication.number)

    def _tag_of(self, number: int) -> str:
        return f'"{self._start}-{number}"'

    def _refuse_one_too_many(self) -> None:
        if self._waiters >= _WAITING_LIMIT:
            detail = f"{_WAITING_LIMIT} others wait already for what is to come; try again, or ask without waiting"
            raise RequestError(detail, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"})

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._refuse_one_too_many()
        self._waiters += 1
        try:
            yield
        finally:
            self._waiters -= 1

    async def _notifications(self, request: Request, _part: str) -> Response:
        """Stream the notifications after the one that the client names; by default, new ones."""
        publication, query = self._answers.publication, request.query
        if not publication.is_restored:
            raise RequestError("the service is starting; try again", 503, {"Retry-After": "1"})
        after = query.get("after", [request.headers.get("last-event-id")])[-1]
        try:
            position = publication.end if after is None else publication.position_after(after)
        except ValueError as error:
            raise RequestError(f"expected `after` to be the id of a notification, found {after!r}") from error
        is_event = _EVENTS in request.headers.get("accept", "")
        headers = (("Fleet-Health-Last-Id", publication.last_id), ("X-Accel-Buffering", "no"))
        if _flag(query, "follow", default=True):
            self._refuse_one_too_many()
            pieces = self._follow(position, is_event=is_event)
        else:
            pieces = _once(_piece(*publication.since(position), is_event=is_event))
        return Response(HTTPStatus.OK, pieces, _EVENTS if is_event else _LINES, headers)

    async def _follow(self, position: int, *, is_event: bool) -> AsyncGenerator[bytes]:
        publication = self._answers.publication
        with self._waiting():
            while True:
                change = publication.change
                notifications, missed = publication.since(position)
                position += missed + len(notifications)
                if notifications or missed:
                    yield _piece(notifications, missed, is_event=is_event)
                if publication.is_closed:
                    return
                try:
                    async with asyncio.timeout(_HEARTBEAT_S):
                        await change.wait()
                except TimeoutError:
                    yield b":\n\n" if is_event else b"\n"  # sending it shows whether the client is still there

    async def _changes(self, _request: Request, _part: str) -> Response:
        """Stream an event whenever something may have changed; it has no content."""
        self._refuse_one_too_many()
        return Response(HTTPStatus.OK, self._changed(), _EVENTS, (("X-Accel-Buffering", "no"),))

    async def _changed(self) -> AsyncGenerator[bytes]:
        publication = self._answers.publication
        with self._waiting():
            yield b"retry: 5000\n\n"
            while not publication.is_closed:
                try:
                    async with asyncio.timeout(_HEARTBEAT_S):
                        await publication.change.wait()
                except TimeoutError:
                    yield b":\n\n"  # sending it shows whether the client is still there
                else:
                    yield b"data: changed\n\n"

    async def _silences(self, _request: Request, _part: str) -> Response:
        return await self._document(self._answers.active_silences())

    async def _add_silence(self, request: Request, _part: str) -> Response:
        wanted = request.document
        status = HTTPStatus.OK if wanted.get("is_trial") else HTTPStatus.CREATED
        return await self._document(self._answers.silences.add(wanted, _user(request)), status)

    async def _end_silence(self, request: Request, id_: str) -> Response:
        wanted = {"id": id_, "on_behalf_of": request.query.get("on_behalf_of", [None])[-1]}
        return await self._document(self._answers.silences.end(wanted, _user(request)))

    async def _reload(self, request: Request, _part: str) -> Response:
        if _flag(request.query, "dry_run", default=False):
            return await self._document(self._answers.preview())
        return Response(HTTPStatus.ACCEPTED, _encoded(self._answers.reload(request.uid)))


def _piece(notifications: Sequence[Notification], missed: int, *, is_event: bool) -> bytes:
    """Return some notifications as a piece of a stream, after the number of missed ones."""
    lines = [(one.id, one.line) for one in notifications]
    if missed:
        lines.insert(0, ("", _encoded({"kind": "missed", "count": missed})))
    if not is_event:
        return b"".join(line for _, line in lines)
    return b"".join(
        b"".join((b"id: " + id_.encode() + b"\n" if id_ else b"", b"data: ", line, b"\n")) for id_, line in lines
    )


async def _once(piece: bytes) -> AsyncGenerator[bytes]:
    yield piece


def _flag(query: Mapping[str, list[str]], name: str, *, default: bool) -> bool:
    text = query.get(name, [str(default).lower()])[-1]
    if text not in {"true", "false"}:
        raise RequestError(f"expected `{name}` to be true or false, found {text!r}")
    return text == "true"


def _seconds(query: Mapping[str, list[str]]) -> int:
    text = query.get("wait", ["0"])[-1]
    if not _is_number(text) or int(text) > _LONGEST_WAIT_S:
        raise RequestError(f"expected `wait` to be a number of seconds up to {_LONGEST_WAIT_S}, found {text!r}")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS


def _encoded(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def _limit(query: Mapping[str, list[str]]) -> int | None:
    if "limit" not in query:
        return None
    text = query["limit"][-1]
    if not _is_number(text):
        raise RequestError(f"expected `limit` to be a whole number, found {text!r}")
    return int(text)


def _user(request: Request) -> int:
    """Return the user who requests a change.

    Raises:
        RequestError: The kernel does not know the user.

    """
    if request.uid is None:
        raise RequestError("nothing can be changed here; use the control socket", HTTPStatus.FORBIDDEN)
    if user_name(request.uid) == READER:
        raise RequestError(f"{READER} may ask, and change nothing; do it as another user", HTTPStatus.FORBIDDEN)
    return request.uid
