"""Asks the daemon for the list of incidents, on its control socket.

A response comes as soon as there is another evaluation. Each request has a connection of its own; if that is closed,
the daemon has ended.
"""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import h11

from fleet_health.errors import FleetHealthError
from fleet_health.files.safe_files import SafeDirectory, UnsafePathError
from fleet_health.notify.documents import Document, DocumentError, parse_document

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S = 300
"""For how many seconds the daemon keeps a request waiting for another evaluation."""

_PATIENCE_S = 20.0
_CHUNK = 1 << 16
_LONGEST = 64 << 20
_OK, _NOT_MODIFIED = 200, 304


class DaemonSilentError(FleetHealthError):
    """The daemon does not respond, or not as expected; `str()` says what happened."""


class DaemonWatch:
    """Asks for the list of incidents."""

    def __init__(self, path: Path) -> None:
        """Take the path of the daemon's control socket."""
        self.path = path
        self._tag = ""

    async def next_document(self) -> Document | None:
        """Wait for another evaluation; return the list after it, or None if there was none within `WAIT_S`.

        Raises:
            DaemonSilentError: It does not respond.

        """
        patience_s = WAIT_S + _PATIENCE_S if self._tag else _PATIENCE_S
        try:
            async with asyncio.timeout(patience_s):
                status, headers, body = await self._ask(
                    f"/v1/incidents?wait={WAIT_S}" if self._tag else "/v1/incidents"
                )
        except TimeoutError as error:
            raise DaemonSilentError(f"{self.path}: no response within {patience_s:g} s; the service hangs") from error
        except (OSError, h11.RemoteProtocolError) as error:
            raise DaemonSilentError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from error
        if status == _NOT_MODIFIED:
            return None
        if status != _OK:
            excerpt = body[:200].decode(errors="replace").strip()
            raise DaemonSilentError(f"{self.path}: it responds with {status}: {excerpt}")
        try:
            document = parse_document(body)
        except DocumentError as error:
            raise DaemonSilentError(f"{self.path}: {error}") from error
        self._tag = headers.get(b"etag", b"").decode("latin-1")
        return document

    async def _ask(self, target: str) -> tuple[int, dict[bytes, bytes], bytes]:
        reader, writer = await self._connected()
        try:
            http = h11.Connection(h11.CLIENT)
            headers = [("Host", "localhost"), ("Connection", "close")]
            if self._tag:
                headers.append(("If-None-Match", self._tag))
            writer.write(http.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
            writer.write(http.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            return await _response(http, reader)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the socket, without following a link of another user."""
        with SafeDirectory(self.path.parent) as directory:
            fd = os.open(self.path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
        try:
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                raise UnsafePathError(self.path, "expected a socket, found a symbolic link; name the socket itself")
            return await asyncio.open_unix_connection(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)


async def _response(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    """Read one response."""
    status, headers, body = 0, dict[bytes, bytes](), bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            status, headers = event.status_code, dict(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _LONGEST:
                raise OSError(f"a response of more than {_LONGEST} bytes")
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return status, headers, bytes(body)
