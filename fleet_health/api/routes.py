"""The API: which paths there are, what each takes, and what answers it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from aiofiles.os import wrap

from fleet_health.api.requests import Request, RequestError, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fleet_health.api.answers import Answers

_DIGITS = 9
_READS = ("GET", "HEAD")

_Answer: TypeAlias = "tuple[HTTPStatus, Mapping[str, Any]]"


@dataclass(frozen=True, slots=True)
class Route:
    """What answers one method of one path.

    Attributes:
        method: The method; who answers GET answers HEAD.
        path: The path, such as `/v1/hosts/{host}`: it has one variable part at most, the last.
        answer: Makes the document and gives its status, from the request and the variable part.
        parameters: The parameters of the query that it takes.

    """

    method: str
    path: str
    answer: Callable[[Request, str], Awaitable[_Answer]]
    parameters: frozenset[str] = frozenset()

    def matches(self, parts: tuple[str, ...]) -> bool:
        """Return whether a path, given as its decoded parts, is this one."""
        own = self.path[1:].split("/")
        return len(own) == len(parts) and all(
            (bool(part) if mine.startswith("{") else mine == part) for mine, part in zip(own, parts, strict=True)
        )


class Api:
    """Answers requests. One document is made at a time: it takes several times the memory of what is sent."""

    def __init__(self, answers: Answers) -> None:
        """Take what makes the documents."""
        self._answers = answers
        self._one_at_a_time = asyncio.Lock()
        hosts = frozenset(("host", "state", "limit"))
        self.routes = (
            Route("GET", "/healthz", self._health),
            Route("GET", "/v1/status", self._status, hosts),
            Route("GET", "/v1/hosts", self._hosts, hosts),
            Route("GET", "/v1/hosts/{host}", self._host),
            Route("GET", "/v1/silences", self._silences),
            Route("POST", "/v1/silences", self._add_silence),
            Route("DELETE", "/v1/silences/{id}", self._end_silence),
            Route("POST", "/v1/reload", self._reload, frozenset(("dry_run",))),
        )

    async def __call__(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            RequestError: It cannot be answered.

        """
        parts = request.path
        route = self._route_of(request.method, parts)
        if strange := sorted(request.query.keys() - route.parameters):
            known = ", ".join(sorted(route.parameters)) or "none"
            raise RequestError(f"expected parameters from {known} at {route.path}, found {strange[0]!r}")
        async with self._one_at_a_time:
            status, document = await route.answer(request, parts[-1])
            return Response(status, await wrap(_encoded)(document))  # a whole fleet is megabytes

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

    async def _health(self, _request: Request, _part: str) -> _Answer:
        document = self._answers.health()
        return HTTPStatus.OK if document["health"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE, document

    async def _status(self, request: Request, _part: str) -> _Answer:
        return HTTPStatus.OK, await self._fleet(request)

    async def _hosts(self, request: Request, _part: str) -> _Answer:
        status = await self._fleet(request)
        keys = ("version", "at_wall", "strip_bin_s", "hosts_by_state", "hosts_matching", "hosts")
        return HTTPStatus.OK, {key: status[key] for key in keys}

    async def _fleet(self, request: Request) -> dict[str, Any]:
        query = request.query
        return await self._answers.status(query.get("host", []), query.get("state", []), _limit(query))

    async def _host(self, _request: Request, host: str) -> _Answer:
        return HTTPStatus.OK, await self._answers.explanation(host)

    async def _silences(self, _request: Request, _part: str) -> _Answer:
        return HTTPStatus.OK, await self._answers.active_silences()

    async def _add_silence(self, request: Request, _part: str) -> _Answer:
        wanted = request.document
        document = await self._answers.silences.add(wanted, _user(request))
        return HTTPStatus.OK if wanted.get("is_trial") else HTTPStatus.CREATED, document

    async def _end_silence(self, request: Request, id_: str) -> _Answer:
        return HTTPStatus.OK, await self._answers.silences.end({"id": id_}, _user(request))

    async def _reload(self, request: Request, _part: str) -> _Answer:
        dry_run = request.query.get("dry_run", ["false"])[-1]
        if dry_run not in {"true", "false"}:
            raise RequestError(f"expected `dry_run` to be true or false, found {dry_run!r}")
        if dry_run == "true":
            return HTTPStatus.OK, await self._answers.preview()
        return HTTPStatus.ACCEPTED, self._answers.reload(request.uid)


def _encoded(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def _limit(query: Mapping[str, list[str]]) -> int | None:
    if "limit" not in query:
        return None
    text = query["limit"][-1]
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise RequestError(f"expected `limit` to be a whole number, found {text!r}")
    return int(text)


def _user(request: Request) -> int:
    """Return the user who asks for a change.

    Raises:
        RequestError: Nobody vouches for them.

    """
    if request.uid is None:
        raise RequestError("nothing can be changed here; use the control socket", HTTPStatus.FORBIDDEN)
    return request.uid
