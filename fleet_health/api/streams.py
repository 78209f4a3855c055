"""Responses that wait for events: the stream of notifications, and the stream of changes for the page."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from fleet_health.api.requests import RequestError, Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from fleet_health.api.requests import Request
    from fleet_health.service.publication import Notification, Publication

# How many clients may wait for events. The other connections are for requests with an immediate response.
_WAITING_LIMIT = 8
_HEARTBEAT_S = 15.0
_LINES, _EVENTS = "application/jsonl", "text/event-stream"
_UNBUFFERED = ("X-Accel-Buffering", "no")


class Streams:
    """Makes the responses that wait for events, for a limited number of clients."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._waiters = 0

    async def notifications(self, request: Request, _part: str) -> Response:
        """Stream the notifications after the one that the client names, by default new ones."""
        publication = self._publication
        if not publication.is_restored:
            raise RequestError("the service is starting; try again", 503, {"Retry-After": "1"})
        after = request.query.get("after", [request.headers.get("last-event-id")])[-1]
        try:
            position = publication.end if after is None else publication.position_after(after)
        except ValueError as error:
            raise RequestError(f"expected `after` to be the id of a notification, found {after!r}") from error
        is_event = _EVENTS in request.headers.get("accept", "")
        if request.flag("follow", default=True):
            self._refuse_one_too_many()
            pieces = self._follow(position, is_event=is_event)
        else:
            pieces = _once(_piece(*publication.since(position), is_event=is_event))
        headers = (("Fleet-Health-Last-Id", publication.last_id), _UNBUFFERED)
        return Response(HTTPStatus.OK, pieces, _EVENTS if is_event else _LINES, headers)

    async def changes(self, _request: Request, _part: str) -> Response:
        """Stream an event without content whenever the documents may have changed."""
        self._refuse_one_too_many()
        return Response(HTTPStatus.OK, self._changes(), _EVENTS, (_UNBUFFERED,))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a waiting client during the context.

        Raises:
            RequestError: Too many clients are waiting already.

        """
        self._refuse_one_too_many()
        self._waiters += 1
        try:
            yield
        finally:
            self._waiters -= 1

    def _refuse_one_too_many(self) -> None:
        if self._waiters >= _WAITING_LIMIT:
            detail = f"{_WAITING_LIMIT} clients are waiting already; try again later, or without waiting"
            raise RequestError(detail, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"})

    async def _follow(self, position: int, *, is_event: bool) -> AsyncGenerator[bytes]:
        publication = self._publication
        with self.waiting():
            while True:
                change = publication.change
                notifications, missed = publication.since(position)
                position += missed + len(notifications)
                if notifications or missed:
                    yield _piece(notifications, missed, is_event=is_event)
                if publication.is_closed:
                    return
                if not await _is_set_in_time(change):
                    yield b":\n\n" if is_event else b"\n"  # sending shows whether the client is still connected

    async def _changes(self) -> AsyncGenerator[bytes]:
        publication = self._publication
        with self.waiting():
            yield b"retry: 5000\n\n"
            while not publication.is_closed:
                # Sending the comment shows whether the client is still connected.
                yield b"data: changed\n\n" if await _is_set_in_time(publication.change) else b":\n\n"


async def _is_set_in_time(change: asyncio.Event) -> bool:
    """Wait for an event until a heartbeat is due. Return whether the event was set."""
    try:
        async with asyncio.timeout(_HEARTBEAT_S):
            await change.wait()
    except TimeoutError:
        return False
    return True


def _piece(notifications: Sequence[Notification], missed: int, *, is_event: bool) -> bytes:
    """Return notifications as a piece of a stream, preceded by the number of missed ones."""
    lines = [(one.id, one.line) for one in notifications]
    if missed:
        lines.insert(0, ("", msgspec.json.encode({"kind": "missed", "count": missed}) + b"\n"))
    if not is_event:
        return b"".join(line for _, line in lines)
    return b"".join(
        b"".join((b"id: " + id_.encode() + b"\n" if id_ else b"", b"data: ", line, b"\n")) for id_, line in lines
    )


async def _once(piece: bytes) -> AsyncGenerator[bytes]:
    yield piece
