"""Ask the running service, through its control socket.

It uses HTTP/1.0, where a response ends with the connection, because importing h11 or http.client would take as much
processor time as all the rest of a short command.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fleet_health.cli.options import EXIT_CONFIG, config_path, refuse
from fleet_health.config.document import UnreadableConfigError
from fleet_health.config.locations import DEFAULT_PATH, LOCATIONS, load_location
from fleet_health.errors import ConfigError, FleetHealthError
from fleet_health.files.safe_files import SafeDirectory, UnsafePathError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

EXIT_NOT_RUNNING = 4
"""The exit status if no service responds."""

_PATIENCE = 15.0
_CHUNK = 1 << 20
_ERRORS, _FAILED, _NOT_NOW = 400, 500, 503
# In a stream, the service sends data at least every 15 s.
_LONGEST_QUIET = 60.0
_LOOK_EVERY = 0.5
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]").match
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE).search
_ANOTHER_PROGRAM = "the process that responds there is not fleet-health; check `[control] path` in its configuration"


class NoResponseError(FleetHealthError):
    """The service does not respond. `str()` is a message with the reason and a remedy."""


class ForbiddenError(NoResponseError):
    """This user may not ask the service."""


class RefusedError(FleetHealthError):
    """The service responded with an error. `str()` is its message.

    Attributes:
        is_wrong: Whether the request was wrong; False if the service could not fulfil it.

    """

    def __init__(self, detail: str, *, is_wrong: bool = True) -> None:
        super().__init__(detail)
        self.is_wrong = is_wrong


def target(*parts: str, query: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the target of a request, from the parts of its path below `/v1` and the values of each parameter."""
    path = "/".join(["/v1", *(quote(part, safe="*@") for part in parts)])
    parameters = "&".join(
        f"{name}={quote(value, safe='*@')}" for name, values in (query or {}).items() for value in values
    )
    return f"{path}?{parameters}" if parameters else path


def ask(
    path: Path,
    target: str,
    method: str = "GET",
    body: Mapping[str, Any] | None = None,
    *,
    patience_s: float = _PATIENCE,
) -> dict[str, Any]:
    """Send a request to the service at a path, and return the document in its response.

    Raises:
        NoResponseError: There is no service, it hangs, or this user may not ask it.
        RefusedError: The response is an error.

    """
    with connected(path, patience_s=patience_s) as connection:
        send(connection, target, method, body)
        response = b"".join(_chunks(connection, patience_s))
    return _document_of(response, path)


def _document_of(response: bytes, path: Path) -> dict[str, Any]:
    head, separator, content = response.partition(b"\r\n\r\n")
    found = _STATUS(head)
    if not found:
        if not response:
            raise NoResponseError(f"{path}: the service closed the connection without a response; it may be stopping")
        raise NoResponseError(f"{path}: {_ANOTHER_PROGRAM}")
    length = _LENGTH(head)
    if not separator or (length and len(content) < int(length[1])):
        raise NoResponseError(f"{path}: the service closed the connection without a response; it may be stopping")
    document = _decoded(content)
    if document is None:
        raise NoResponseError(f"{path}: {_ANOTHER_PROGRAM}")
    if int(found[1]) < _ERRORS:
        return document
    detail = str(document.get("detail", document.get("title", "")))
    if int(found[1]) == _NOT_NOW:
        raise NoResponseError(f"{path}: {detail}")
    raise RefusedError(detail, is_wrong=int(found[1]) < _FAILED)


def send(connection: socket.socket, target: str, method: str = "GET", body: Mapping[str, Any] | None = None) -> None:
    """Send the only request of a connection."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    # The service may refuse the request before it has read all of it.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(head.encode("ascii") + content)


@contextmanager
def connected(path: Path, *, patience_s: float = _PATIENCE) -> Iterator[socket.socket]:
    """Connect to the service that listens at a path, during the context.

    Raises:
        NoResponseError: There is no service, it hangs, or this user may not ask it; also within the context.

    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(patience_s)
            _connect(connection, path)
            yield connection
    except (FileNotFoundError, ConnectionError) as error:
        raise NoResponseError(
            f"{path}: the service is not running ({error.strerror}); `systemctl status fleet-health` shows more"
        ) from error
    except PermissionError as error:
        raise ForbiddenError(
            f"{path}: {error.strerror}; run this as root, or as a member of the group of the service"
        ) from error
    except TimeoutError as error:
        raise NoResponseError(f"{path}: no response within {patience_s:g} s; the service hangs") from error
    except OSError as error:
        raise NoResponseError(f"{path}: {error.strerror or error}") from error


def lines_of(
    connection: socket.socket, path: Path, *, until: Callable[[], bool]
) -> tuple[dict[str, str], Iterator[bytes]]:
    """Return the headers of a stream, and an iterator over its lines.

    Args:
        connection: The connection on which the stream was requested.
        path: The path at which the service listens.
        until: Called from time to time; ends the lines when it returns True.

    Raises:
        NoResponseError: There is no valid response; also within the lines, if no data comes for too long.
        RefusedError: The response is an error.

    """
    stream = _Stream(connection, until)
    head = stream.until(b"\r\n\r\n")
    found = _STATUS(head)
    if not found or int(found[1]) >= _ERRORS:
        _document_of(head + b"".join(_chunks(connection, _PATIENCE)), path)
        raise NoResponseError(f"{path}: {_ANOTHER_PROGRAM}")
    headers = (line.partition(":") for line in head.decode("latin-1").splitlines()[1:])
    return {name.lower(): value.strip() for name, _, value in headers}, iter(partial(stream.until, b"\n"), b"")


class _Stream:
    """Reads from a connection, piece by piece."""

    def __init__(self, connection: socket.socket, until: Callable[[], bool]) -> None:
        connection.settimeout(_LOOK_EVERY)
        self._connection, self._until = connection, until
        self._read = b""
        self._at = time.monotonic()

    def until(self, end: bytes) -> bytes:
        """Return the bytes up to and including `end`; empty if there are no more."""
        while end not in self._read:
            try:
                chunk = self._connection.recv(_CHUNK)
            except TimeoutError:
                if time.monotonic() - self._at > _LONGEST_QUIET:
                    raise
                if self._until():
                    return b""
                continue
            if not chunk:
                return b""
            self._read += chunk
            self._at = time.monotonic()
        piece, _, self._read = self._read.partition(end)
        return piece + end


def _connect(connection: socket.socket, path: Path) -> None:
    """Connect to the socket at a path, without following a link of another user."""
    with SafeDirectory(path.parent) as directory:
        fd = os.open(path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise UnsafePathError(path, "expected a socket, found a symbolic link; name the socket itself")
        connection.connect(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        response = json.loads(line)
    except ValueError:
        return None
    return response if isinstance(response, dict) else None


def with_service(options: argparse.Namespace, work: Callable[[Path], int], *, is_about_file: bool = False) -> int:
    """Call `work` with the path of the control socket that the options select, and return the exit status.

    An invalid configuration, an error response and a service that does not respond are reported on stderr. If the
    installed configuration cannot be read, the service still runs with the previous one, so its default socket is used,
    unless the work is about that file.
    """
    file = config_path(options)
    try:
        path = load_location(file, "control.path")
    except UnreadableConfigError as error:
        status = refuse(error)
        if is_about_file or file != DEFAULT_PATH:
            return status
        path = Path(LOCATIONS["control.path"].default)
    except ConfigError as error:
        return refuse(error)
    try:
        return work(path)
    except RefusedError as error:
        from fleet_health.parsing.local_time import localized  # noqa: PLC0415 - only for this

        print(localized(str(error)), file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    except NoResponseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_NOT_RUNNING


def _chunks(connection: socket.socket, patience_s: float) -> Iterator[bytes]:
    ends_at = time.monotonic() + patience_s
    while chunk := connection.recv(_CHUNK):
        yield chunk
        if time.monotonic() > ends_at:
            raise TimeoutError
