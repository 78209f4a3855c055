"""`alerts.jsonl`: the record of every alert, and the memory of which were given.

Whatever was synced here was given, and nothing else was. So the file decides, under its lock, whether an alert is
written: two writers (a service, and a check by hand beside it) never give the same alert twice, and a process killed
at any instant leaves nothing to repair but perhaps an unfinished last line.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import msgspec

from fleet_health.domain.instant import HOUR_US, utc_hour
from fleet_health.errors import SinkTaken, SinkUnavailable
from fleet_health.parsing.alert_row import parse_alert_row, parse_incident_row
from fleet_health.parsing.bisection import entry_offset
from fleet_health.rotation import rotated_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fleet_health.domain.alert import Alert, Notice
    from fleet_health.domain.instant import Instant

T = TypeVar("T")

_MODE = 0o644

_LOCK_PATIENCE = 5.0
_LOCK_RETRY = 0.05


@dataclass(frozen=True, slots=True)
class _Untrusted:
    """A file with the end that could not be synced, and its size without that."""

    state: os.stat_result
    size_before: int


class AlertLog:
    """The alert log at a path. Each batch goes to the file that is at the path by then, so it may be rotated.

    There are two locks. One is held for a batch, by whoever writes. The other is held for life, by the one service to
    which the log belongs: two services would each tell the other's alerts as their own.
    """

    def __init__(self, path: Path, *, is_service: bool = False) -> None:
        """Take a path; the file need not be there yet.

        Args:
            path: Where the log is.
            is_service: Whether it is to belong to us alone, from the first write or `probe` on.

        """
        self.path = path
        self._is_service = is_service
        self._owned: int | None = None
        self._untrusted: _Untrusted | None = None

    def given(self, now: Instant) -> list[tuple[str, Instant]]:
        """Read back which alerts were given of late: dedup key and instant, at least from the hour of `now` on.

        Raises:
            SinkUnavailable: The file is there, and cannot be read.

        """
        return self._read_back(now - now % HOUR_US, parse_alert_row)

    def told_since(self, since: Instant) -> list[tuple[tuple[str, str, str], Instant]]:
        """Read back what was told from an instant on: host, symptom and status of each row, with its instant.

        Raises:
            SinkUnavailable: The file is there, and cannot be read.

        """
        return [row for row in self._read_back(since, parse_incident_row) if row[1] >= since]

    def _read_back(self, since: Instant, parse: Callable[[bytes], tuple[T, Instant] | None]) -> list[tuple[T, Instant]]:
        try:
            # The file at the path is opened before the rotated ones are listed: it may become one of them any moment.
            with ExitStack() as stack:
                files = []
                if self.path.is_file():
                    files.append(stack.enter_context(self.path.open("rb")))
                files += [stack.enter_context(file.open("rb")) for file in rotated_files(self.path, since)]
                return [row for file in files for row in _rows(file, since, parse)]
        except OSError as error:
            raise SinkUnavailable(f"{error.filename or self.path}: {error.strerror}") from error

    def append(self, alerts: Sequence[Alert | Notice]) -> list[Alert | Notice]:
        """Write those of the alerts, all of one evaluation, that the file does not hold yet: one write, one sync.

        Returns:
            The alerts that were written.

        Raises:
            SinkUnavailable: None of them was.

        """
        if not alerts:
            return []
        hour = utc_hour(alerts[0].detected_at)
        try:
            with self._opened() as fd:
                given = {key for key, at in self.given(alerts[0].detected_at) if utc_hour(at) == hour}
                due = [alert for alert in alerts if alert.dedup_key not in given]
                if due:
                    if os.fstat(fd).st_size == 0:
                        # Before the rows: once they are in, a sync that failed would not be tried again.
                        _sync_directory(self.path.parent)
                    self._write(fd, b"".join(msgspec.json.encode(alert.row()) + b"\n" for alert in due))
        except OSError as error:
            raise SinkUnavailable(f"{self.path}: {error.strerror}") from error
        return due

    def probe(self) -> None:
        """See whether alerts could be written.

        Raises:
            SinkTaken: The log belongs to another service.
            SinkUnavailable: They could not, for another reason.

        """
        try:
            with self._opened():
                pass
        except OSError as error:
            raise SinkUnavailable(f"{self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Give up the ownership."""
        if self._owned is not None:
            os.close(self._owned)
            self._owned = None

    def _write(self, fd: int, data: bytes) -> None:
        """Write all of `data` at the end and sync it, or leave the file as it was."""
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) not in (b"\n", b""):  # nothing, if it has just been truncated
            data = b"\n" + data  # somebody was stopped in the middle of a line
        try:
            if os.write(fd, data) < len(data):
                raise OSError(0, "the disk is full")  # noqa: TRY301 - a short write is an error like the others
            os.fsync(fd)
        except OSError:
            self._untrusted = _Untrusted(os.fstat(fd), size)
            self._take_back(fd)
            raise

    def _take_back(self, fd: int) -> None:
        """Cut off what was written and could not be synced: it is to be read, and may never reach the disk.

        Where that fails too, it is done before the file is used again.
        """
        if self._untrusted is not None:
            written, state = self._untrusted.state, os.fstat(fd)
            if os.path.samestat(state, written) and state.st_size == written.st_size:
                os.ftruncate(fd, self._untrusted.size_before)
            self._untrusted = None

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file at the path, made if need be, and hold its lock."""
        patience_ends = time.monotonic() + _LOCK_PATIENCE
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, _MODE)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise SinkUnavailable(f"{self.path}: expected a regular file")
                if self._is_locked(fd):
                    if self._is_service:
                        self._own(fd)
                    self._take_back(fd)
                    yield fd
                    return
            finally:
                os.close(fd)
            if time.monotonic() > patience_ends:
                raise SinkUnavailable(f"{self.path}: another process has kept it locked for {_LOCK_PATIENCE:.0f} s")
            time.sleep(_LOCK_RETRY)

    def _is_locked(self, fd: int) -> bool:
        """Lock the open file; False if that cannot be had now, or it is no longer the file at the path."""
        try:
            # A lock of the open file, not of the process: that one would be lost as soon as any descriptor is closed.
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            return os.path.samestat(os.fstat(fd), self.path.stat())
        except (BlockingIOError, FileNotFoundError):
            return False

    def _own(self, fd: int) -> None:
        """Make the open file ours, if it is not yet; after a rotation it is another one."""
        if self._owned is not None and os.path.samestat(os.fstat(self._owned), os.fstat(fd)):
            return
        owned = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._lock_for_life(owned)
            # Another service may not have written since the log was rotated. Then the rotated file is still locked.
            for file in rotated_files(self.path, 0):
                with suppress(FileNotFoundError), file.open("rb") as rotated:
                    self._lock_for_life(rotated.fileno())
        except BaseException:
            os.close(owned)
            raise
        self.close()
        self._owned = owned

    def _lock_for_life(self, fd: int) -> None:
        if self._owned is not None and os.path.samestat(os.fstat(self._owned), os.fstat(fd)):
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SinkTaken(
                f"{self.path}: belongs to another service, {_owner(fd)}; give each a log of its own"
            ) from None


def _owner(fd: int) -> str:
    """Say which process holds the lifelong lock of an open file, as far as it is to be seen."""
    state = os.fstat(fd)
    file = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            _, kind, _, _, pid, place, *_ = line.split()
            if (kind, place) == ("FLOCK", file):
                return f"process {pid}"
    return "a process that cannot be seen from here"


def _rows(
    file: BinaryIO, since: Instant, parse: Callable[[bytes], tuple[T, Instant] | None]
) -> Iterator[tuple[T, Instant]]:
    """Read an open file's rows from about `since` on. What is not a row is passed over: it must never stop an alert."""

    def time_of(line: bytes) -> Instant | None:
        row = parse(line)
        return row[1] if row else None

    size = os.fstat(file.fileno()).st_size
    file.seek(entry_offset(lambda offset, count: os.pread(file.fileno(), count, offset), size, time_of, since))
    for line in file:
        if row := parse(line):
            yield row


def _sync_directory(directory: Path) -> None:
    """Make the name of a new file last, too."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
