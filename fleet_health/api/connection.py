"""One HTTP/1.1 connection: h11 handles the protocol, this module the bytes, limits and timeouts.

The cost of a client is bounded by limits on the size of a request's head and body, the time to send them, and the time
to receive the response. A client may send further requests before it has received a response (pipelining). They
get responses in order.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11
import msgspec

from fleet_health.api.requests import PROBLEM, Request, RequestError, Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HEAD_LIMIT = 1 << 15
"""The largest head of a request in bytes, enough for the names of hundreds of hosts."""
BODY_LIMIT = 1 << 14
"""The largest body of a request, in bytes."""

_CHUNK = 1 << 16
# How many bytes, and for how many seconds, to read on after refusing a request that was not read to its end, because a
# TCP client that is still sending would not see the response.
_LINGER_BYTES, _LINGER_TIME = 1 << 18, 1.0


class Connection:
    """The server's end of a connection, which reads requests and sends responses."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        uid: int | None = None,
        idle_time: float = 30.0,
        send_time: float = 10.0,
    ) -> None:
        """Take a connection.

        Args:
            reader: The stream from the client.
            writer: The stream to the client.
            uid: The user at the other end; None if the kernel does not report one.
            idle_time: How many seconds a client may take to send a complete request.
            send_time: How many seconds it may take to receive a response, or a piece of a stream.

        """
        self._reader = reader
        self._writer = writer
        self._uid = uid
        self._idle_time = idle_time
        self._send_time = send_time
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._is_head = False
        writer.transport.set_write_buffer_limits(high=0)  # `drain` then waits until all bytes are sent

    def dismiss(self) -> None:
        """Stop waiting for a request, as if the client had closed the connection."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # what arrives now must not follow the end
        self._reader.feed_eof()  # asyncio of Python 3.11 would log a cancellation

    @property
    def can_go_on(self) -> bool:
        """Whether another request may follow."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return self._http.our_state is h11.IDLE

    async def request(self) -> Request | None:
        """Return the next request; None at the end of the connection.

        Raises:
            RequestError: The request violates the protocol or a limit. It still needs a response, and is the last one.
            TimeoutError: The client takes too long.

        """
        self._is_head = False
        try:
            async with asyncio.timeout(self._idle_time):
                head = await self._event()
                if not isinstance(head, h11.Request):
                    return None
                self._is_head = head.method == b"HEAD"
                body = await self._body()
        except h11.RemoteProtocolError as error:
            if self._reader.at_eof():  # it left in the middle of a request
                return None
            detail = f"expected an HTTP/1.1 request, found something else: {error}"
            if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                detail = (
                    f"expected a request with a head of at most {HEAD_LIMIT} bytes, found a larger one; request less"
                )
            raise RequestError(detail, error.error_status_hint) from error
        if body is None:
            return None
        return Request(
            head.method.decode("ascii"),
            head.target.decode("ascii"),
            {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
            body,
            self._uid,
        )

    async def _body(self) -> bytes | None:
        body = b""
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                return None
            body += event.data
            if len(body) > BODY_LIMIT:
                raise RequestError(f"expected a body of at most {BODY_LIMIT} bytes, found a larger one", 413)
        return body

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event

    async def send(self, response: Response) -> None:
        """Send a response.

        Raises:
            TimeoutError: The client takes too long to receive it.
            OSError: The client has gone.

        """
        headers = [
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
            ("Content-Type", response.content_type),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
        ]
        if not any(name == "Cache-Control" for name, _ in response.headers):
            headers.append(("Cache-Control", "no-store"))
        if isinstance(response.body, bytes) and response.status != HTTPStatus.NOT_MODIFIED:
            headers.append(("Content-Length", str(len(response.body))))
        head = self._http.send(
            h11.Response(status_code=response.status, reason=_phrase(response.status), headers=headers)
        )
        async with asyncio.timeout(self._send_time):
            await self._write(head)
        if self._is_head:
            pass
        elif isinstance(response.body, bytes):
            async with asyncio.timeout(self._send_time):
                for begin in range(0, len(response.body), _CHUNK):
                    await self._write(self._http.send(h11.Data(data=response.body[begin : begin + _CHUNK])))
        else:
            await self._send_pieces(response.body)
        async with asyncio.timeout(self._send_time):
            await self._write(self._http.send(h11.EndOfMessage()))

    async def _send_pieces(self, pieces: AsyncGenerator[bytes]) -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                async with asyncio.timeout(self._send_time):
                    await self._write(self._http.send(h11.Data(data=piece)))

    async def _write(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def hang_up(self) -> None:
        """Close the connection. If the client is still sending, read on for a moment, so that it sees the response."""
        is_sending = self._http.their_state in {h11.SEND_BODY, h11.ERROR} and not self._reader.at_eof()
        if is_sending and self._http.our_state is not h11.ERROR:
            with suppress(TimeoutError, OSError, RuntimeError):
                self._writer.write_eof()
                async with asyncio.timeout(_LINGER_TIME):
                    left = _LINGER_BYTES
                    while left > 0 and (data := await self._reader.read(_CHUNK)):
                        left -= len(data)
        self.abort()

    def abort(self) -> None:
        """Close the connection at once, even if the client has not received the whole response."""
        self._writer.transport.abort()


def problem(error: RequestError) -> Response:
    """Return the response for an error: a problem document (RFC 9457)."""
    document = {
        "type": "about:blank",
        "title": _phrase(error.status),
        "status": error.status,
        "detail": str(error),
    }
    return Response(error.status, msgspec.json.encode(document) + b"\n", PROBLEM, tuple(error.headers.items()))


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
