"""One open journal, filtered to a receiver's unit, and read without ever raising for what an entry holds.

`systemd.journal.Reader` is used by its low-level calls only. Iterating over it converts every field of every entry:
that is fifteen times slower, and a single odd field (a COREDUMP_TIMESTAMP of thirty nines) makes it raise and stay
where it is. What else is worth knowing:

* Its descriptor must be asked for at once. Journal files that were opened before it are not watched, and stay open
  after they were deleted (systemd#14695).
* The descriptor is an inotify instance, of which a user has but 128. Without one the files that are there can be read
  all the same, but `process()` never hears of another: such a reader is good for one look.
* `process()` must be called now and then while reading, or a vacuum makes every further read fail (loki#4053).
* Of an entry that is being written it may see that there is one more, but not yet what it matches: then it does not
  look into that file again before the next entry is written, unless it is told to seek (seen).
* It is not safe to use from two threads, nor to close while the loop watches its descriptor (python-systemd#143).
* It sees a directory that is made anew under the same name, or only after it was opened, but for the default
  namespace's, and only if `/var/log/journal` was there. Hence `is_outdated`.
* To open a journal without permission succeeds, and shows no entries. Hence `_refuse_unreadable`.
"""

from __future__ import annotations

import errno
import os
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systemd import journal

from fleet_health.errors import SourceFailing, SourceMissing, SourceRefused, SourceUnavailable
from fleet_health.model.observation import UnitState
from fleet_health.parsing.long_line import LINE_LIMIT
from fleet_health.parsing.rejection import Rejection
from fleet_health.sources.journal.broken_lines import BrokenLines
from fleet_health.sources.journal.system_messages import DROPPED_ID, RUNNING_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant

_ROOTS = (Path("/run/log/journal"), Path("/var/log/journal"))
_MACHINE_ID = Path("/etc/machine-id")

# What is read between two calls of `process()`.
_BATCH = 1_024

_SPARE_DESCRIPTORS = 8

_DAMAGED = Rejection("damaged journal entry", "")
_BROKEN_LINE = Rejection("part of a line that journald broke (longer than LineMax=)", "")

# A unit that fails again and again must not make the start long.
_MOST_STATES = 1_000


class JournalReader:
    """Reads the messages by a unit, and PID 1's messages about it.

    Attributes:
        fd: Readable when the journal's files have changed; None if there was no inotify instance left for it.
        unread: Why the entry read last gave no message.
        rest: What of it was left out as the rest of a broken line, though it may be a whole line; else nothing.

    Raises:
        SourceUnavailable: In every method: the journal is missing, may not be read, or cannot be read now.

    """

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        _refuse_unreadable(settings)
        try:
            self._places = _identities(settings)
            self._reader: Any = journal.Reader(
                path=None if settings.directory is None else str(settings.directory), namespace=settings.namespace
            )
        except OSError as error:
            raise _unavailable(error) from error
        try:
            self.fd = self._descriptor()
        except OSError as error:
            self.close()  # a traceback would keep it, and its files, open
            raise _unavailable(error) from error
        self.unread, self.rest = _DAMAGED, b""
        self._is_on_unread = False
        self._broken_lines = BrokenLines(self._field)
        self._match()

    def _match(self) -> None:
        # The first two make up most of `journalctl -u`. Both ends are fixed: a message that merely claims to be about
        # the unit does not match, nor does anything that we ourselves send. The third is journald's word on any unit.
        unit = self._settings.unit
        self._reader.flush_matches()
        self._reader.add_match(_SYSTEMD_UNIT=unit)
        self._reader.add_disjunction()
        self._reader.add_match(_PID="1", UNIT=unit)
        self._reader.add_disjunction()
        self._reader.add_match(_TRANSPORT="driver", MESSAGE_ID=DROPPED_ID)

    def _descriptor(self) -> int | None:
        try:
            descriptor: int | None = self._reader.fileno()
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            descriptor = None
        # A journal file for which there was no descriptor libsystemd has left out without a word. Those with which it
        # went through the directories are free again, so one that is free now does not tell: there must be some.
        spare: list[int] = []
        try:
            while len(spare) < _SPARE_DESCRIPTORS:
                spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        finally:
            for one in spare:
                os.close(one)
        return descriptor

    def is_outdated(self) -> bool:
        """Return whether there can be journal files that this reader will never hear of."""
        try:
            return self.fd is None or self._places != _identities(self._settings) or bool(_unreadable(self._settings))
        except OSError:
            return True  # opened anew, it will be said what is wrong

    def seek(self, since: Instant) -> None:
        """Go before the first entry with `t >= since`."""
        try:
            # Not the method of the same name in `journal.Reader`: that one takes seconds, and rounds them.
            journal._Reader.seek_realtime(self._reader, max(since, 0))  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        self._is_on_unread = False

    def seek_cursor(self, cursor: str) -> None:
        """Go behind the entry of a cursor, or before the next one if that entry is gone."""
        try:
            self._reader.seek_cursor(cursor)
            # Only after a step can it be asked whether the entry that was read last is still there.
            has_entry = self._reader._next()  # noqa: SLF001
            self._is_on_unread = has_entry and not self._reader.test_cursor(cursor)
        except OSError as error:
            raise _unavailable(error) from error

    def read(self) -> Iterator[tuple[bytes | None, Instant]]:
        """Read on to the present end: each entry's message with its realtime timestamp.

        The message is None where the entry is damaged, or holds a part of a line only: `unread` is the reason. May be
        left at any point, and called again.
        """
        reader = self._reader
        get_next = reader._next  # noqa: SLF001
        since_process = 0
        try:
            while self._is_on_unread or get_next():
                self._is_on_unread = False
                yield self._entry()
                since_process += 1
                if since_process == _BATCH:
                    since_process = 0
                    reader.process()
        except OSError as error:
            raise _unavailable(error) from error

    def read_back(self, until: Instant) -> Iterator[tuple[bytes | None, Instant]]:
        """Read from the last entry with `t <= until` back to the beginning, as `read` gives it."""
        self.seek(until)
        try:
            while self._reader._previous():  # noqa: SLF001
                yield self._entry()
        except OSError as error:
            raise _unavailable(error) from error

    def _entry(self) -> tuple[bytes | None, Instant]:
        at: Instant = 0
        try:
            at = self._reader._get_realtime()  # noqa: SLF001
            message: bytes = self._reader._get("MESSAGE")  # noqa: SLF001
        except KeyError:
            return b"", at
        except OSError:  # this entry alone; a journal that is out of order altogether fails at the next step
            self.unread, self.rest = _DAMAGED, b""
            return None, at
        # Asked here, too, to spare a call for each entry.
        if (len(message) > LINE_LIMIT or self._broken_lines.streams) and self._broken_lines.is_part(message):
            self.unread, self.rest = _BROKEN_LINE, message if self._broken_lines.may_be_whole else b""
            return None, at
        return message, at

    def _field(self, name: str) -> bytes:
        try:
            value: bytes = self._reader._get(name)  # noqa: SLF001
        except (KeyError, OSError):
            return b""
        return value

    def system_message_id(self) -> str:
        """Return the MESSAGE_ID of the entry read last if it is systemd's or journald's own; else nothing."""
        get = self._reader._get  # noqa: SLF001
        try:
            message_id: str = get("MESSAGE_ID").decode("ascii", "replace")
            return message_id if get("_TRANSPORT") == b"driver" or get("_PID") == b"1" else ""
        except (KeyError, OSError):
            return ""

    def unit_states(self, since: Instant, until: Instant) -> list[UnitState]:
        """Look up PID 1's words on the unit with `since <= t <= until`, and the latest before, however long ago.

        At most the latest 1,000 are given, in order. Leaves the place unset.
        """
        try:
            self._reader.flush_matches()
            self._reader.add_match(_PID="1", UNIT=self._settings.unit)
            for message_id in RUNNING_BY_ID:
                self._reader.add_match(MESSAGE_ID=message_id)
            states: list[UnitState] = []
            for _, at in islice(self.read_back(until), _MOST_STATES):
                states.append(UnitState(at, RUNNING_BY_ID[self.system_message_id()]))
                if at < since:
                    break
            return states[::-1]
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match()

    def oldest_at(self) -> Instant | None:
        """Look up when the oldest entry of the whole journal was made; None if it is empty. Leaves the place unset."""
        try:
            self._reader.flush_matches()
            self._reader.seek_head()
            return self._reader._get_realtime() if self._reader._next() else None  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match()

    def cursor(self) -> str:
        """Name the entry read last; there must be one."""
        try:
            name: str = self._reader._get_cursor()  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        return name

    def timeout(self) -> float | None:
        """Return after how many seconds `process` is due even without a sign from the descriptor; None for never."""
        if self.fd is None:
            return None
        at_us: int | None = self._reader.get_timeout()
        return None if at_us is None else max(0.0, at_us / 1e6 - time.monotonic())

    def process(self) -> None:
        """Record what happened to the journal's files. To be called when the descriptor is readable."""
        try:
            self._reader.process()
        except OSError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close the journal. The loop must have let go of the descriptor before."""
        self._reader.close()


def _unavailable(error: OSError) -> SourceUnavailable:
    return SourceFailing(f"the journal cannot be read: {error.strerror or error}")


def _refuse_unreadable(settings: JournalSettings) -> None:
    directories: list[Path] = []
    try:
        directories = _directories(settings)
        files = [file for directory in directories for file in directory.glob("*.journal")]
    except OSError as error:
        raise SourceRefused(f"the journal in {error.filename} cannot be listed: {error.strerror}") from error
    if not files:
        places = " or ".join(str(directory) for directory in directories)
        raise SourceMissing(f"there is no journal in {places}")
    unreadable = _unreadable(settings)
    if unreadable or not any(os.access(file, os.R_OK) for file in files):
        file = (unreadable or files)[0]
        raise SourceRefused(f"{file}: permission denied; add the user of this service to group systemd-journal")


def _unreadable(settings: JournalSettings) -> list[Path]:
    """Return the files of services' entries that may not be read; a rotation can make one, and is not heard of then.

    Who may read only the entries of his own user sees nothing of a service's.
    """
    files = [directory / "system.journal" for directory in _directories(settings)]
    return [file for file in files if file.exists() and not os.access(file, os.R_OK)]


def _directories(settings: JournalSettings) -> list[Path]:
    """Return the directories in which libsystemd looks for the journal's files."""
    if settings.directory is not None:
        if not settings.directory.is_dir():
            return [settings.directory]
        return [settings.directory, *sorted(entry for entry in settings.directory.iterdir() if entry.is_dir())]
    try:
        machine = _MACHINE_ID.read_text("ascii").strip()
    except OSError:
        machine = "machine-id"  # there is none, so there is no journal of this machine
    suffix = "" if settings.namespace is None else f".{settings.namespace}"
    return [root / f"{machine}{suffix}" for root in _ROOTS]


def _identities(settings: JournalSettings) -> list[tuple[int, int]]:
    """Return the device and inode of each of these directories that is there."""
    states = [directory.stat() for directory in _directories(settings) if directory.is_dir()]
    return [(state.st_dev, state.st_ino) for state in states]
