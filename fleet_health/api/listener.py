"""The read-only listener, which serves the API by TCP on sockets that systemd passes to the service.

The service opens no such socket itself, because its unit has no network (`PrivateNetwork=yes`), which a passed socket
does not need. Any machine may connect, so more is limited than on the control socket: the rates of connections and
requests, and the share of time for documents. Further connections wait in the queue of the kernel and delay no
evaluation.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

import structlog
from systemd import daemon

from fleet_health.api.connection import HEAD_LIMIT
from fleet_health.api.requests import Request, RequestError, Response
from fleet_health.api.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.api.requests import Respond

CLIENT_LIMIT = 32
"""The largest number of clients at a time."""
RATE = 100
"""The largest number of connections, and of requests, per second."""
BURST = 50
"""The largest number of connections, and of requests, at once."""
SHARE = 0.25
"""The largest share of time for documents, from 0 to 1."""
FRESH_S = 1.0
"""How many seconds a document is reused."""

_IDLE_S, _SEND_S = 10.0, 10.0
_PAUSE_S = 0.1
_KEPT = 4
_FREE = frozenset(("/healthz", "/v1/openapi.json", "/v1/notifications", "/changes", "/page.css", "/page.js"))
_log = structlog.get_logger("fleet_health.service")


def passed_sockets() -> list[socket.socket]:
    """Return the listening sockets that systemd passed to this process, as non-blocking sockets."""
    sockets = []
    for fd in daemon.listen_fds(unset_environment=True):
        passed = socket.socket(fileno=fd)
        if passed.type == socket.SOCK_STREAM and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            passed.setblocking(False)  # noqa: FBT003 - setblocking takes it by position only
            sockets.append(passed)
        else:
            _log.warning("passed socket not used", fd=fd, reason="expected a listening stream socket")
            passed.close()
    return sockets


class Rate:
    """Limits the rate of events, with bursts."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._step = 1 / per_second
        self._burst = burst * self._step
        self._next_at = 0.0

    async def take(self) -> None:
        """Wait until the rate permits the next event."""
        now = time.monotonic()
        self._next_at = max(self._next_at, now - self._burst) + self._step
        if self._next_at > now:
            await asyncio.sleep(self._next_at - now)


class ReadOnly:
    """Responds to read-only requests with a trusted Host header, at a limited rate."""

    def __init__(self, respond: Respond) -> None:
        """Take what responds to requests."""
        self._respond = respond
        self._rate = Rate(RATE, BURST)
        self._making = asyncio.Lock()
        self._made: OrderedDict[tuple[str, str], tuple[float, Response]] = OrderedDict()

    async def __call__(self, request: Request) -> Response:
        """Return the response to a request.

        Raises:
            RequestError: The response is an error.

        """
        await self._rate.take()
        if request.method not in {"GET", "HEAD"}:
            raise RequestError(
                f"expected GET or HEAD on the read-only listener, found {request.method[:20]}; use the control"
                " socket for changes",
                HTTPStatus.METHOD_NOT_ALLOWED,
                {"Allow": "GET, HEAD"},
            )
        _refuse_foreign(request.headers.get("host", ""))
        path = request.target.partition("?")[0]
        if path in _FREE or path.startswith("/icons/") or "if-none-match" in request.headers:
            return await self._respond(request)
        return await self._shared(request)

    async def _shared(self, request: Request) -> Response:
        """Return a new document, or a recent one."""
        asked = request.target, request.headers.get("accept", "")
        async with self._making:
            made_at, response = self._made.get(asked, (0.0, None))
            if response is not None and time.monotonic() - made_at < FRESH_S:
                return response
            response = await self._respond(request)
            if response.status == HTTPStatus.OK:
                self._made[asked] = time.monotonic(), response
                self._made.move_to_end(asked)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return response


def _refuse_foreign(host: str) -> None:
    """Refuse requests with a foreign Host header, because a web site may point its name here (DNS rebinding).

    Raises:
        RequestError: The host is neither an address nor `localhost`.

    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name.lower().rstrip(".") == "localhost" or name == "":
        return
    with suppress(ValueError):
        ipaddress.ip_address(name.strip("[]"))
        return
    raise RequestError(
        f"expected a Host that is an address or localhost, found {host[:80]!r}; let the proxy send the address",
        HTTPStatus.MISDIRECTED_REQUEST,
    )


class Listener(Server):
    """Serves on sockets that systemd passes in."""

    def __init__(self, respond: Respond) -> None:
        """Take what responds to requests."""
        super().__init__(ReadOnly(respond), CLIENT_LIMIT, idle_time=_IDLE_S, send_time=_SEND_S)
        self._rate = Rate(RATE, BURST)
        self._accepting: list[asyncio.Task[NoReturn]] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._sockets: Sequence[socket.socket] = ()

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections on sockets."""
        self._sockets, self._is_open = sockets, True
        for one in sockets:
            self._accepting.append(asyncio.create_task(self._accept(one)))
            _log.info("listening read-only", address=str(one.getsockname()))

    async def close(self) -> None:
        """Stop accepting connections. systemd keeps the sockets open."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._accepting = []
        await self._close_all()
        for one in self._sockets:
            one.close()
        self._sockets = ()

    async def _accept(self, listener: socket.socket) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            await self._rate.take()
            try:
                accepted, _ = await loop.sock_accept(listener)
                reader, writer = await asyncio.open_connection(sock=accepted, limit=HEAD_LIMIT)
            except OSError as error:  # the client left early, or no descriptor is free
                _log.debug("connection not accepted", reason=error.strerror or str(error))
                await asyncio.sleep(_PAUSE_S)
                continue
            serving = asyncio.create_task(self._serve(reader, writer))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
