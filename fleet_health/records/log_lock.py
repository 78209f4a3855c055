"""The lock of the alert log: a file beside it, `.alerts.jsonl.lock`, which only this user can open.

Every user who may read a file can lock it. If the alert log itself were locked, any reader could prevent writes, or the
start of the service. The lock file contains only the process id of the service.

A service that is killed while a disk hangs cannot end, and keeps its locks. It will not write any more, so the next
process removes its lock file and creates another one.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from fleet_health.errors import SinkTaken, SinkUnavailable
from fleet_health.files.dying import is_dying
from fleet_health.files.lock_wait import wait_for_lock
from fleet_health.files.safe_files import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet_health.files.safe_files import SafeDirectory

BATCH, _LIFE, SENDING, _TAKEOVER = range(4)
"""The bytes of the file. Each is a lock: for a batch; for the lifetime of the service; for sending alerts that the
journal lacks; and for removing the file."""

_MODE = 0o600

# `struct flock` of fcntl(2): kind, whence, begin, length, pid.
_FLOCK = "hhqqi4x"

_log = structlog.get_logger("fleet_health.records")


class LogLock:
    """The lock of the alert log at a path.

    Raises:
        OSError: In every method, if the lock file cannot be created or opened, or does not belong to this user.

    """

    def __init__(self, log: Path) -> None:
        self.path = log.with_name(f".{log.name}.lock")
        self._log = log
        self._owned: int | None = None

    @contextmanager
    def held(self, directory: SafeDirectory, byte: int) -> Iterator[int]:
        """Hold the lock of a byte during the context. Yield the descriptor of the lock file.

        Raises:
            SinkUnavailable: Another process holds the lock.

        """
        with ExitStack() as stack:
            locked: list[int] = []

            def take() -> bool:
                fd = self._opened(directory)
                stack.callback(os.close, fd)
                self._take_over(directory, fd)
                # If the file at the path was replaced, the next process would lock another file.
                if not (_is_locked_now(fd, byte) and self._is_in_place(directory, fd)):
                    stack.close()
                    return False
                locked.append(fd)
                return True

            wait_for_lock(take, self.path)
            yield locked[0]

    def own(self, directory: SafeDirectory, fd: int) -> None:
        """Own the log for the lifetime of this process, given the open lock file. Replace a lock on a removed file.

        Raises:
            SinkTaken: Another service owns the log.

        """
        if self._owned is not None and os.path.samestat(os.fstat(self._owned), os.fstat(fd)):
            return
        # Opened again, because the locks of the first descriptor are released after the batch.
        owned = self._opened(directory)
        if not _is_locked_now(owned, _LIFE):
            owner = _owner(owned)
            os.close(owned)
            raise _taken(self._log, owner)
        with suppress(OSError):  # on a full disk, errors do not name the owner
            os.ftruncate(owned, 0)
            os.pwrite(owned, b"%d\n" % os.getpid(), 0)
        self.disown()
        self._owned = owned

    def disown(self) -> None:
        """Release the lock that marks this process as the owner."""
        if self._owned is not None:
            os.close(self._owned)
            self._owned = None

    def has_owner(self, directory: SafeDirectory) -> bool:
        """Return whether a service owns the log, including this one. Take no lock: a service may be starting."""
        fd = self._opened(directory)
        try:
            return _is_locked(fd, _LIFE)
        finally:
            os.close(fd)

    def _take_over(self, directory: SafeDirectory, fd: int) -> None:
        """Remove the lock file if the service that owns it is dying.

        Raises:
            SinkUnavailable: The owner is dying, but the lock file cannot be removed.

        """
        if not _is_locked(fd, _LIFE) or (owner := _owner(fd)) is None or not is_dying(owner):
            return
        # Only one of several processes may remove the file, because the next lock file must stay.
        if not (_is_locked_now(fd, _TAKEOVER) and self._is_in_place(directory, fd)):
            return
        try:
            directory.remove(self.path.name)
        except OSError as error:
            raise SinkUnavailable(
                f"{self.path}: locked by process {owner}, which was killed but cannot exit because a disk hangs; the"
                f" lock file cannot be removed: {error.strerror}"
            ) from error
        _log.warning("lock of a dying service taken over", lock=str(self.path), process=owner)

    def _opened(self, directory: SafeDirectory) -> int:
        try:
            fd = directory.open_file(self.path.name, os.O_RDWR, create_mode=_MODE, is_ours_alone=True)
        except PermissionError as error:
            raise PermissionError(error.errno, f"{error.strerror}; {self._advice(directory)}", error.filename) from None
        if stat.S_IMODE(os.fstat(fd).st_mode) & ~_MODE:
            os.fchmod(fd, _MODE)
        return fd

    def _advice(self, directory: SafeDirectory) -> str:
        """Return advice for a lock file that may not be opened or created."""
        with suppress(OSError):
            directory.state(self.path.name)
            return "the lock file must be readable and writable by its owner: `chmod 600` it"
        user = user_name(os.geteuid())
        return (
            f"user {user} needs a lock file there: let {user} write to the directory, or create the file by"
            f" `install --owner={user} --mode=600 /dev/null {self.path}`"
        )

    def _is_in_place(self, directory: SafeDirectory, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), directory.state(self.path.name))
        except FileNotFoundError:
            return False


def _is_locked(fd: int, byte: int) -> bool:
    """Return whether a byte of an open file is locked. Take no lock."""
    kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(byte)))
    return bool(kind != fcntl.F_UNLCK)


def _is_locked_now(fd: int, byte: int) -> bool:
    """Lock a byte of an open file. Return False if another process holds the lock."""
    try:
        # The lock belongs to the open file. A lock of the process is lost when any descriptor of the file is closed.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(byte))
    except BlockingIOError:
        return False
    return True


def _flock(byte: int) -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)


def _owner(fd: int) -> int | None:
    """Return the process id in the lock file; None if there is none."""
    with suppress(OSError, ValueError):
        return int(os.pread(fd, 20, 0))
    return None


def _taken(log: Path, owner: int | None) -> SinkTaken:
    name = "whose process is unknown" if owner is None else f"process {owner}"
    return SinkTaken(f"{log}: belongs to another service, {name}; give each service its own log")
