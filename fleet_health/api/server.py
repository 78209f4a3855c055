"""The control socket, which serves the API to every user who may write to it.

The cost of clients is bounded by their number (an idle client makes room for a new one), the number of streams, and the
limits of each `Connection`. A client that hangs does not affect the others.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from fleet_health.api.connection import HEAD_LIMIT, Connection, problem
from fleet_health.api.requests import RequestError
from fleet_health.errors import PathHangs
from fleet_health.files.hanging_calls import call_at
from fleet_health.files.safe_files import SafeDirectory, UnsafePathError, place_of

if TYPE_CHECKING:
    from fleet_health.api.requests import Request, Respond, Response

CLIENT_LIMIT = 16
"""The largest number of clients at a time."""

_MODE = 0o660
_BACKLOG = 16
_REMOVAL_TIME = 1.0
# How many seconds a client may still receive its response when the socket is closed.
_GRACE_TIME = 0.5

# From Python 3.13 on, asyncio would remove the socket by the name to which it was bound, which is no longer valid.
_NO_CLEAN_UP: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

_log = structlog.get_logger("fleet_health.service")


class Server:
    """Serves a limited number of clients. An idle client makes room for a new one."""

    def __init__(self, respond: Respond, client_limit: int, *, idle_time: float, send_time: float) -> None:
        """Take the function that responds, the limit of clients, and the seconds for each to send and to receive."""
        self._respond = respond
        self._client_limit = client_limit
        self._idle_time = idle_time
        self._send_time = send_time
        self._is_open = False
        self._clients: set[asyncio.Task[None]] = set()
        # The idle clients, the longest idle first.
        self._idle: dict[Connection, None] = {}

    async def _close_all(self) -> None:
        """Close all connections. Clients that are being served get a moment to receive the response."""
        self._is_open = False
        while self._dismiss():
            pass
        await asyncio.sleep(0)  # idle clients end by themselves
        if self._clients:
            await asyncio.wait(self._clients, timeout=_GRACE_TIME)
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, uid: int | None = None) -> None:
        client = Connection(reader, writer, uid=uid, idle_time=self._idle_time, send_time=self._send_time)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we run in a task
        self._clients.add(task)
        try:
            if len(self._clients) > self._client_limit and not self._dismiss():
                await client.send(problem(self._one_too_many()))
            else:
                await self._converse(client)
            await client.hang_up()
        except (TimeoutError, OSError):
            pass  # the client hung or has left
        finally:
            self._clients.discard(task)
            client.abort()

    async def _converse(self, client: Connection) -> None:
        """Respond to the requests of a client, one after another, until it closes the connection."""
        while client.can_go_on:
            self._idle[client] = None
            try:
                request = await client.request()
            except RequestError as error:
                await client.send(problem(error))
                return
            finally:
                self._idle.pop(client, None)
            if request is None or not self._is_open:
                return
            await client.send(await self._response_to(request))

    async def _response_to(self, request: Request) -> Response:
        try:
            return await self._respond(request)
        except RequestError as error:
            return problem(error)
        except Exception as error:  # noqa: BLE001 - a request must not end the service
            _log.exception("request failed")
            return problem(RequestError(f"the service failed to respond: {error}; see its log", 500))

    def _dismiss(self) -> bool:
        """Disconnect the client that has been idle the longest. Return False if all clients are being served."""
        if not self._idle:
            return False
        client = next(iter(self._idle))
        del self._idle[client]
        client.dismiss()
        return True

    def _one_too_many(self) -> RequestError:
        return RequestError(f"{self._client_limit} clients are connected already; try again", 503, {"Retry-After": "1"})


class ControlSocket(Server):
    """Listens at a path for the users who may write to it: its owner and the group."""

    def __init__(self, respond: Respond, *, idle_time: float = 30.0, send_time: float = 10.0) -> None:
        """Take the function that responds, and the seconds that each client may take to send and receive."""
        super().__init__(respond, CLIENT_LIMIT, idle_time=idle_time, send_time=send_time)
        self.problem = ""
        """The reason why the socket is not available; empty if it is."""
        self._path: Path | None = None
        self._identity: tuple[int, int] | None = None
        self._server: asyncio.Server | None = None

    async def open(self, path: Path) -> None:
        """Listen at a path instead of the present one. If that fails, log the reason and set `problem`."""
        if self._server is not None and path == self._path and await self._is_in_place():
            return
        await self.close()
        self._path, self.problem = path, ""
        try:
            listener, self._identity = await call_at(path, _bound, path)
        except PathHangs as error:
            self.problem = str(error)
            _log.warning("control socket not available", socket=str(path), reason=str(error))
            return
        except OSError as error:
            self.problem = f"{place_of(error, path)}: {error.strerror or error}"
            _log.warning("control socket not available", socket=str(path), reason=error.strerror or str(error))
            return
        self._is_open = True
        self._server = await asyncio.start_unix_server(
            self._serve_user, sock=listener, limit=HEAD_LIMIT, **_NO_CLEAN_UP
        )

    async def close(self) -> None:
        """Stop listening. Clients that are being served get a moment to receive the response."""
        if self._server is None or self._path is None:
            return
        self._server.close()
        await self._close_all()
        with suppress(TimeoutError, PathHangs):
            async with asyncio.timeout(_REMOVAL_TIME):
                await call_at(self._path, _remove, self._path, self._identity)
        self._server = None

    async def _is_in_place(self) -> bool:
        """Return whether this socket is at the path, because another service may have replaced it."""
        if self._path is None or self._identity is None:
            return False
        with suppress(PathHangs):
            return await call_at(self._path, _identity, self._path) == self._identity
        return False

    async def _serve_user(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, _peer(writer.get_extra_info("socket")))


def _peer(connection: socket.socket) -> int:
    """Return the user at the other end, as the kernel reports (unix(7))."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def _remove(path: Path, identity: tuple[int, int] | None) -> None:
    """Remove a socket if it still has this identity."""
    if identity is not None and _identity(path) == identity:
        with suppress(OSError), SafeDirectory(path.parent) as directory:
            directory.remove(path.name)


def _bound(path: Path) -> tuple[socket.socket, tuple[int, int] | None]:
    """Create a listening socket. It appears at the path with its final mode, and replaces an abandoned one.

    Returns:
        The socket, and the identity by which to recognise it at the path.

    """
    new = f".{path.name}.{os.getpid()}"
    with SafeDirectory(path.parent) as directory:
        directory.refuse_root_elsewhere()
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(directory.state(path.name).st_mode):
                raise UnsafePathError(path, "expected a socket, found something else; move it away")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=directory.fd)
            # Relative to the directory, because its path may be replaced meanwhile, or be too long for a socket.
            listener.bind(f"/proc/self/fd/{directory.fd}/{new}")
            _give_mode(directory, new)
            listener.listen(_BACKLOG)
            listener.setblocking(False)  # noqa: FBT003 - setblocking takes it by position only
            directory.rename(new, path.name)
        except OSError:
            listener.close()
            with suppress(OSError):
                os.unlink(new, dir_fd=directory.fd)
            raise
        return listener, _identity(path)


def _give_mode(directory: SafeDirectory, name: str) -> None:
    """Set the mode of the socket. chmod(2) by name would follow a link that another user put in its place."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
    try:
        state = os.fstat(fd)
        if not stat.S_ISSOCK(state.st_mode) or state.st_uid != os.geteuid():
            raise UnsafePathError(directory.path / name, "expected our own socket, found something else")
        Path(f"/proc/self/fd/{fd}").chmod(_MODE)
    finally:
        os.close(fd)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.lstat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
