"""Asking the running service, by its socket."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

from fleet_health.cli.options import EXIT_CONFIG, config_path, refuse
from fleet_health.config.locations import load_location
from fleet_health.errors import ConfigError, FleetHealthError
from fleet_health.files.safe_files import SafeDirectory, UnsafePathError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

EXIT_NOT_RUNNING = 4
"""The exit status if there is no service that answers."""

_PATIENCE = 15.0
_CHUNK = 1 << 20


class NoAnswerError(FleetHealthError):
    """The service does not answer; `str()` says why, and what to do."""


class RefusedError(FleetHealthError):
    """The service answers, but not what was asked for; `str()` is its word."""


def ask(path: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the service that listens at a path.

    Raises:
        NoAnswerError: There is none, or it may not be asked, or it stands still.
        RefusedError: It cannot answer this.

    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE)
            _connect(connection, path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = b"".join(_until_newline(connection))
    except (FileNotFoundError, ConnectionError) as error:
        raise NoAnswerError(
            f"{path}: the service is not running ({error.strerror}); `systemctl status fleet-health` says more"
        ) from error
    except PermissionError as error:
        raise NoAnswerError(
            f"{path}: {error.strerror}; run this as root, or as a member of the group of the service"
        ) from error
    except TimeoutError as error:
        raise NoAnswerError(f"{path}: no answer within {_PATIENCE:.0f} s; the service hangs") from error
    except OSError as error:
        raise NoAnswerError(f"{path}: {error.strerror or error}") from error
    if not line.endswith(b"\n"):
        raise NoAnswerError(f"{path}: the service hung up before it had answered; it may be stopping")
    answer = _decoded(line)
    if answer is None:
        raise NoAnswerError(
            f"{path}: what answers there is not fleet-health; see `[control] path` in its configuration"
        )
    if "error" in answer:
        raise RefusedError(str(answer["error"]))
    return answer


def _connect(connection: socket.socket, path: Path) -> None:
    """Connect to the socket at a path, and not to one that somebody else's link there leads to."""
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
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def with_service(options: argparse.Namespace, work: Callable[[Path], int]) -> int:
    """Do something with the socket of the service that the options mean, and give the exit status.

    What goes wrong is said: a configuration that is not right, a request that is refused, a service that is not there.
    """
    try:
        path = load_location(config_path(options), "control.path")
    except ConfigError as error:
        return refuse(error)
    try:
        return work(path)
    except RefusedError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    except NoAnswerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_NOT_RUNNING


def _until_newline(connection: socket.socket) -> Iterator[bytes]:
    ends_at = time.monotonic() + _PATIENCE
    while chunk := connection.recv(_CHUNK):
        yield chunk
        if chunk.endswith(b"\n"):
            return
        if time.monotonic() > ends_at:
            raise TimeoutError
