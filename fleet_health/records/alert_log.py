"""`alerts.jsonl`, the record of every alert, which decides whether an alert was sent.

An alert counts as sent if and only if its row was synced to this file. The content of the file decides, under its lock,
whether a row is new. So two writers, such as a service and a `check`, never write the same alert twice, and a process
that is killed leaves nothing to repair except perhaps an unfinished last line.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import msgspec
import structlog

from fleet_health.alerting.alert import Alert
from fleet_health.files.rotation import is_rotated_name, matching, without_compression
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.files.unpacking import Unpacked, packing_of
from fleet_health.model.instant import HOUR_US, utc_hour
from fleet_health.parsing.alert_row import parse_alert_row, parse_incident_row, parse_whole_row
from fleet_health.parsing.bisection import entry_offset
from fleet_health.records.atomic_file import unavailable
from fleet_health.records.log_lock import BATCH, SENDING, LogLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fleet_health.alerting.alert import Notice
    from fleet_health.model.instant import Instant

T = TypeVar("T")

_MODE = 0o644

# A row has a few kilobytes, so a longer line is not a row.
_ROW_LIMIT = 1 << 20
# How much of a file is read back; 10,000 hosts write less in a day. Searching gigabytes of a hole, or of other content,
# would delay the next alert.
_READ_BACK_LIMIT = 64 << 20

_log = structlog.get_logger("fleet_health.records")


@dataclass(frozen=True, slots=True)
class _Untrusted:
    """The state of the file after a write that could not be synced, and its size before the write."""

    state: os.stat_result
    size_before: int


class AlertLog:
    """The alert log at a path. Each batch is written to the file at the path by then, so the log may be rotated.

    Every writer locks it for each batch. The service that owns it also locks it for its lifetime; see `LogLock`.
    """

    def __init__(self, path: Path, *, is_service: bool = False, rotated: Sequence[str] = ()) -> None:
        """Take a path, whose file need not exist yet.

        Args:
            path: The path of the log.
            is_service: Whether to own the log from the first write or `probe` on.
            rotated: Globs of further rotated files with unusual names, relative to the log's directory.

        """
        self.path = path
        self.rotated = rotated
        self._lock = LogLock(path)
        self._is_service = is_service
        self._untrusted: _Untrusted | None = None
        self._skipped: set[Path] = set()

    def recent_keys(self, now: Instant) -> list[tuple[str, Instant]]:
        """Return the dedup key and the instant of each recent alert, at least from the UTC hour of `now` on.

        Raises:
            SinkUnavailable: The file is there, and cannot be read.

        """
        return self._read_back(now - now % HOUR_US, parse_alert_row)

    def notified_since(self, since: Instant) -> list[tuple[tuple[str, str, str], Instant]]:
        """Return host, symptom and status of each row since an instant, with its instant.

        Raises:
            SinkUnavailable: The file is there, and cannot be read.

        """
        return [row for row in self._read_back(since, parse_incident_row) if row[1] >= since]

    def entries_since(self, since: Instant) -> list[Alert | Notice]:
        """Return the alerts and notices since an instant, each once, from files of this user or root only.

        Raises:
            SinkUnavailable: The file is there, and cannot be read.

        """
        rows = self._read_back(since, parse_whole_row, owners={os.geteuid(), 0})
        return list({(entry.dedup_key, at): entry for entry, at in rows if at >= since}.values())

    def _read_back(
        self, since: Instant, parse: Callable[[bytes], tuple[T, Instant] | None], owners: set[int] | None = None
    ) -> list[tuple[T, Instant]]:
        try:
            with ExitStack() as stack:
                try:
                    directory = stack.enter_context(SafeDirectory(self.path.parent))
                except FileNotFoundError:
                    return []
                # The file at the path is opened before the rotated files are listed, because it may be rotated
                # meanwhile.
                files: list[tuple[Path, BinaryIO]] = []
                with suppress(FileNotFoundError):
                    current = os.fdopen(directory.open_file(self.path.name, os.O_RDONLY), "rb")
                    files.append((self.path, stack.enter_context(current)))
                for path, file in self._rotated(directory, since):
                    files.append((path, stack.enter_context(file)))
                rows: list[tuple[T, Instant]] = []
                for path, file in files:
                    if owners is not None and os.fstat(file.fileno()).st_uid not in owners:
                        continue
                    try:
                        rows += (_unpacked_rows if _is_packed_name(path.name) else _rows)(file, since, parse)
                    except OSError as error:
                        if path == self.path:
                            raise
                        self._skip(path, error)
                return rows
        except OSError as error:
            raise unavailable(self.path, error) from error

    def _rotated(self, directory: SafeDirectory, since: Instant) -> Iterator[tuple[Path, BinaryIO]]:
        """Yield the open rotated files that were written at or after `since`, latest last.

        A file that cannot be read is logged once and skipped, because it must not prevent an alert.
        """
        written_at: dict[Path, Instant] = {}
        for path in self._rotated_paths(directory):
            try:
                with _directory_of(path, directory) as home:
                    written_at[path] = home.state(path.name).st_mtime_ns // 1000
            except FileNotFoundError:
                continue
            except OSError as error:
                self._skip(path, error)
        for path in sorted(written_at, key=written_at.__getitem__):
            if written_at[path] < since:
                continue
            with ExitStack() as stack:
                try:
                    with _directory_of(path, directory) as home:
                        file = stack.enter_context(os.fdopen(home.open_file(path.name, os.O_RDONLY), "rb"))
                    packing = packing_of(file.fileno())
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._skip(path, error)
                    continue
                if packing and not _is_packed_name(path.name):
                    self._skip(path, f"expected rows of JSON, found a {packing} file; give it the suffix of {packing}")
                    continue
                stack.pop_all()
                yield path, file

    def _rotated_paths(self, directory: SafeDirectory) -> set[Path]:
        paths: set[Path] = set()
        with suppress(OSError):  # the directory may permit opening files but not listing them
            paths.update(directory.path / name for name in directory.names() if is_rotated_name(self.path.name, name))
        return paths | (matching(self.rotated, self.path.parent) - {self.path})

    def _skip(self, path: Path, reason: str | OSError) -> None:
        if path not in self._skipped:
            self._skipped.add(path)
            text = (reason.strerror or str(reason)) if isinstance(reason, OSError) else reason
            _log.warning("rotated alert log skipped", file=str(path), reason=text)

    def append(self, alerts: Sequence[Alert | Notice]) -> list[Alert | Notice]:
        """Append the alerts that the log does not contain yet, with one write and one sync.

        The log contains an alert if it has a row with the same key in this UTC hour, later than the last resolution of
        the incident.

        Returns:
            The alerts that were appended.

        Raises:
            SinkUnavailable: No alert was written.

        """
        if not alerts:
            return []
        hour = utc_hour(alerts[0].detected_at)
        try:
            with self._opened() as (directory, fd):
                rows = sorted(self.recent_keys(alerts[0].detected_at), key=lambda row: row[1])
                recorded = {key: at for key, at in rows if utc_hour(at) == hour}
                due = [alert for alert in alerts if not _is_recorded(alert, recorded)]
                if due:
                    if os.fstat(fd).st_size == 0:
                        # Before the rows are written, because a failed sync would not be retried once they are.
                        directory.sync()
                    self._write(fd, b"".join(msgspec.json.encode(alert.row()) + b"\n" for alert in due))
        except OSError as error:
            raise unavailable(self.path, error) from error
        return due

    def probe(self) -> None:
        """Check that alerts can be written.

        Raises:
            SinkTaken: Another service owns the log.
            SinkUnavailable: Alerts cannot be written, for another reason.

        """
        try:
            with self._opened():
                pass
        except OSError as error:
            raise unavailable(self.path, error) from error

    def has_service(self) -> bool:
        """Return whether a running service, another one or this one, owns the log.

        Raises:
            SinkUnavailable: The lock file cannot be opened.

        """
        try:
            with SafeDirectory(self.path.parent) as directory:
                return self._lock.has_owner(directory)
        except OSError as error:
            raise unavailable(self.path, error) from error

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Hold the lock for sending missing alerts to the journal during the context.

        Raises:
            SinkUnavailable: Another process holds the lock.

        """
        with ExitStack() as stack:
            try:
                directory = stack.enter_context(SafeDirectory(self.path.parent))
                stack.enter_context(self._lock.held(directory, SENDING))
            except OSError as error:
                raise unavailable(self.path, error) from error
            yield

    def place(self) -> tuple[int, int, str]:
        """Return the identity of the log: device and inode of its directory, and its name.

        Raises:
            SinkUnavailable: The directory cannot be opened.

        """
        try:
            with SafeDirectory(self.path.parent) as directory:
                state = os.fstat(directory.fd)
        except OSError as error:
            raise unavailable(self.path, error) from error
        return state.st_dev, state.st_ino, self.path.name

    @property
    def lock_path(self) -> Path:
        """The path of its lock file."""
        return self._lock.path

    def close(self) -> None:
        """Release the log, so that another service can own it."""
        self._lock.disown()

    def _write(self, fd: int, data: bytes) -> None:
        """Append all of `data` and sync it, or leave the file as it was."""
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) not in (b"\n", b""):  # b"" if the file has just been truncated
            data = b"\n" + data  # a writer was killed in the middle of a line
        try:
            if os.write(fd, data) < len(data):
                raise OSError(0, "the disk is full")  # noqa: TRY301 - a short write is handled like other errors
            os.fsync(fd)
        except OSError:
            self._untrusted = _Untrusted(os.fstat(fd), size)
            self._take_back(fd)
            raise

    def _take_back(self, fd: int) -> None:
        """Cut off rows that could not be synced, because they may never reach the disk although they can be read.

        If this fails as well, it is retried before the file is used again.
        """
        if self._untrusted is not None:
            written, state = self._untrusted.state, os.fstat(fd)
            if os.path.samestat(state, written) and state.st_size == written.st_size:
                os.ftruncate(fd, self._untrusted.size_before)
            self._untrusted = None

    @contextmanager
    def _opened(self) -> Iterator[tuple[SafeDirectory, int]]:
        """Open the directory and the log, create the log if it is missing, and hold the lock of a batch."""
        with SafeDirectory(self.path.parent) as directory, self._lock.held(directory, BATCH) as lock:
            if self._is_service:
                self._lock.own(directory, lock)
            fd = directory.open_file(self.path.name, os.O_RDWR | os.O_APPEND, create_mode=_MODE)
            try:
                self._take_back(fd)
                yield directory, fd
            finally:
                os.close(fd)


def _is_recorded(alert: Alert | Notice, recorded: Mapping[str, Instant]) -> bool:
    """Return whether an alert was written in its UTC hour, given dedup key -> latest alert in that hour."""
    at = recorded.get(alert.dedup_key)
    after = alert.after if isinstance(alert, Alert) else None
    return at is not None and (after is None or at > after)


def _is_packed_name(name: str) -> bool:
    return without_compression(name) != name


@contextmanager
def _directory_of(path: Path, directory: SafeDirectory) -> Iterator[SafeDirectory]:
    """Yield the open directory of a path; `directory` if it is the same."""
    if path.parent == directory.path:
        yield directory
        return
    with SafeDirectory(path.parent) as other:
        yield other


def _unpacked_rows(
    file: BinaryIO, since: Instant, parse: Callable[[bytes], tuple[T, Instant] | None]
) -> Iterator[tuple[T, Instant]]:
    """Yield the rows of an open compressed file from `since` on."""
    unpacked = Unpacked(file.fileno(), packing_of(file.fileno()))
    try:
        for line in unpacked.lines(_ROW_LIMIT):
            if (row := parse(line)) and row[1] >= since:
                yield row
    finally:
        unpacked.close()


def _rows(
    file: BinaryIO, since: Instant, parse: Callable[[bytes], tuple[T, Instant] | None]
) -> Iterator[tuple[T, Instant]]:
    """Yield the rows in the last 64 MiB of an open file, from about `since` on.

    Other lines are skipped, because they must not prevent an alert.
    """

    def time_of(line: bytes) -> Instant | None:
        row = parse(line)
        return row[1] if row else None

    size = os.fstat(file.fileno()).st_size
    offset = entry_offset(lambda offset, count: os.pread(file.fileno(), count, offset), size, time_of, since)
    file.seek(max(offset, size - _READ_BACK_LIMIT))
    while line := file.readline(_ROW_LIMIT):
        if row := parse(line):
            yield row
