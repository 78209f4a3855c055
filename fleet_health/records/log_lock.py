"""The lock of the alert log: a separate file beside it, `.alerts.jsonl.lock`, which only this user can open.

Every user who may read a file can lock it. So any reader of the alert log could lock the log itself, and stop the
writing or keep the service from starting. The lock file contains only the process id of the service.

A service that is killed while a disk hangs cannot end, and keeps its locks. It will write nothing more, so the next
process removes its lock file and creates another.
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
"""The bytes of the file, each a lock: for a batch; for the service's lifetime; for sending what the journal lacks; and
for removing the file."""

_MODE = 0o600

# `struct flock` of fcntl(2): kind, whence, begin, length, pid.
_FLOCK = "hhqqi4x"

_log = structlog.get_logger("fleet_health.records")


class LogLock:
    """The lock of the alert log at a path.

    Raises:
        OSError: In every method: the lock file cannot be created or opened, or does not belong to this user.

    """

    def __init__(self, log: Path) -> None:
        self.path = log.with_name(f".{log.name}.lock")
        self._log = log
        self._owned: int | None = None

    @contextmanager
    def held(self, directory: SafeDirectory, byte: int) -> Iterator[int]:
        """Hold the lock of a byte while the context lasts; yield the descriptor of the lock file.

        Raises:
            SinkUnavailable: Another process keeps the lock.

        """
        with ExitStack() as stack:
            locked: list[int] = []

            def take() -> bool:
                fd = self._opened(directory)
                stack.callback(os.close, fd)
                self._take_over(directory, fd)
                # If the file was replaced at the path, the next process would lock another one.
                if not (_is_locked_now(fd, byte) and self._is_in_place(directory, fd)):
                    stack.close()
                    return False
                locked.append(fd)
                return True

            wait_for_lock(take, self.path)
            yield locked[0]

    def own(self, directory: SafeDirectory, fd: int) -> None:
        """Own the log for the lifetime of this process, given the open lock file. Replaces a lock on a removed file.

        Raises:
            SinkTaken: Another service owns the log.

        """
        if self._owned is not None and os.path.samestat(os.fstat(self._owned), os.fstat(fd)):
            return
        # Opened a second time, because the locks of the first descriptor end with the batch.
        owned = self._opened(directory)
        if not _is_locked_now(owned, _LIFE):
            owner = _owner(owned)
            os.close(owned)
            raise _taken(self._log, owner)
        with suppress(OSError):  # a full disk: then errors do not name the owner
            os.ftruncate(owned, 0)
            os.pwrite(owned, b"%d\n" % os.getpid(), 0)
        self.disown()
        self._owned = owned

    def disown(self) -> None:
        """Release the lock that marks the log as ours."""
        if self._owned is not None:
            os.close(self._owned)
            self._owned = None

    def has_owner(self, directory: SafeDirectory) -> bool:
        """Return whether any service owns the log, including this one. Takes no lock: a service could fail to start."""
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
        # If several processes find this at once, only one may remove the file: the next file must stay.
        if not (_is_locked_now(fd, _TAKEOVER) and self._is_in_place(directory, fd)):
            return
        try:
            directory.remove(self.path.name)
        except OSError as error:
            raise SinkUnavailable(
                f"{self.path}: locked by process {owner}, which was killed and cannot end, for a disk that it reads or"
                f" writes hangs; it cannot be removed: {error.strerror}"
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
        """Return how to make a lock file usable that may not be opened or created."""
        with suppress(OSError):
            directory.state(self.path.name)
            return "the lock file must be readable and writable by its owner: `chmod 600` it"
        user = user_name(os.geteuid())
        return (
            f"user {user} needs a lock file there: let {user} write the directory, or make the file by"
            f" `install --owner={user} --mode=600 /dev/null {self.path}`"
        )

    def _is_in_place(self, directory: SafeDirectory, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), directory.state(self.path.name))
        except FileNotFoundError:
            return False


def _is_locked(fd: int, byte: int) -> bool:
    """Return whether a byte of an open file is locked; takes no lock."""
    kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(byte)))
    return bool(kind != fcntl.F_UNLCK)


def _is_locked_now(fd: int, byte: int) -> bool:
    """Lock a byte of an open file; return False if another process has it."""
    try:
        # A lock of the open file, not of the process: that one is lost when any descriptor of the file is closed.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(byte))
    except BlockingIOError:
        return False
    return True


def _flock(byte: int) -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)


def _owner(fd: int) -> int | None:
    """Return the process id that the owner has written into the lock file; None if there is none."""
    with suppress(OSError, ValueError):
        return int(os.pread(fd, 20, 0))
    return None


def _taken(log: Path, owner: int | None) -> SinkTaken:
    name = "which has not written down its process" if owner is None else f"process {owner}"
    return SinkTaken(f"{log}: belongs to another service, {name}; give each a log of its own")
