"""One open journal, filtered to a receiver's units. No content of an entry makes reading raise.

`systemd.journal.Reader` is used by its low-level calls only. Iterating over it converts every field of every entry:
that is fifteen times slower, and a single odd field (a COREDUMP_TIMESTAMP of thirty nines) makes it raise and stay
where it is. Also:

* The descriptor must be requested right after opening. Journal files that were opened before that are not watched, and
  stay open after they were deleted (systemd#14695).
* The descriptor is an inotify instance; a user may have only 128. A reader without one can read the existing files,
  but `process()` never finds new ones, so the journal must be opened again for each read.
* `process()` must be called regularly while reading, or a vacuum makes every further read fail (loki#4053).
* While an entry is being written, libsystemd may see that it exists but not yet that it matches. Then it does not look
  into that file again before the next entry is written, except after a seek (observed).
* A reader must not be used from two threads, nor be closed while the loop watches its descriptor (python-systemd#143).
* Looking up a field that an entry lacks costs more than reading its message. So the lines of the units and the messages
  about them, which differ by MESSAGE_ID, are read in separate passes.
* Matches cannot contain globs. The existing instances are looked up in the journal's index of `_SYSTEMD_UNIT`.
* A directory that is created or replaced after opening is noticed only for the default namespace, and only if
  `/var/log/journal` existed. Hence `is_outdated`.
* A file of an unknown format or with a damaged header is left out without an error. Hence `left_out`.
* Opening a journal without permission succeeds, and shows no entries. Hence `refuse_unreadable`.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

from systemd import journal

from fleet_health.errors import SourceFailing, SourceUnavailable
from fleet_health.model.host_globs import is_plain
from fleet_health.model.unit_states import UnitMessage, UnitStates
from fleet_health.parsing.long_line import LINE_LIMIT
from fleet_health.parsing.rejection import Rejection
from fleet_health.sources.journal.broken_lines import BrokenLines
from fleet_health.sources.journal.directories import (
    every_place,
    identities,
    places,
    places_changed_at,
    refuse_unreadable,
    unreadable_files,
)
from fleet_health.sources.journal.files import LeftOutFile, left_out_files, refuse_current
from fleet_health.sources.journal.matches import (
    instances,
    line_matches,
    matches_about,
    matches_about_each,
    plain_units,
    unit_matches,
    watched_units,
)
from fleet_health.sources.journal.system_messages import BOOTED_IDS, DROPPED_ID, FAILED_START_ID, RUNNING_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.sources.journal.files import File

# How many entries are read between two calls of `process()`.
_BATCH = 1_024

_SPARE_DESCRIPTORS = 8

# <systemd/sd-journal.h>; systemd-python has no name for the second: a namespace, and the default one as well.
_LOCAL_ONLY, _WITH_DEFAULT_NAMESPACE = 1 << 0, 1 << 6

# How many messages to search for a unit's state: a unit that can never be started causes many in a row.
_LATEST_MESSAGES = 4_096

# How many instances of globs to follow: those with the latest lines. The more instances, the more each line costs.
_INSTANCES = 256

_BOOTED = ("_PID=1", *(f"MESSAGE_ID={one}" for one in sorted(BOOTED_IDS)))

_DAMAGED = Rejection("damaged journal entry", "")
_BROKEN_LINE = Rejection("part of a line that journald broke (longer than LineMax=)", "")


class JournalReader:
    """Reads the lines of the receiver's units, and the service managers' messages about these units.

    Args:
        settings: Which journal, and which units.
        files: The only files to read, as long as they exist; None for the whole journal, including new files.
        is_watching: Whether to create a descriptor. A reader of given files can do without one.

    Attributes:
        units: The names of the receiver's units that are known: at first all except the instances of globs.
        active: The units in which `find_instances` found lines, if there are several.
        fd: Readable when the journal's files have changed; None if there is no inotify instance for it.
        unread: Why the entry read last gave no message.
        rest: The message of an entry left out as the rest of a broken line that may be a whole line; else empty.
        left_out: The archived files that libsystemd does not read.

    Raises:
        SourceUnavailable: In every method: the journal is missing, may not be read, or cannot be read now.

    """

    def __init__(
        self, settings: JournalSettings, files: Sequence[File] | None = None, *, is_watching: bool = True
    ) -> None:
        self._settings = settings
        self._files = files
        if files is None:
            refuse_unreadable(settings)
        try:
            self._places = self._identities()
            self._reader: Any = _opened(settings) if files is None else _opened_files([file.path for file in files])
        except OSError as error:
            raise _unavailable(error) from error
        try:
            self.fd = self._descriptor(is_watching=is_watching)
        except OSError as error:
            self.close()  # else the traceback would keep the reader and its files open
            raise _unavailable(error) from error
        self.unread, self.rest = _DAMAGED, b""
        self._is_on_unread = False
        self._broken_lines = BrokenLines(self._field)
        self.units, self.active, self._instances = set(plain_units(settings)), set[str](), list[str]()
        self._match_lines()
        self._listed_at = places_changed_at(settings)
        try:
            self.left_out = [] if files is not None else refuse_current(self._not_opened())
        except SourceUnavailable:
            self.close()
            raise

    def add_units(self, units: Iterable[str]) -> None:
        """Include the lines of these units in what is read after the next seek."""
        self.units.update(units)
        self._match_lines()

    def values_of(self, field: str) -> set[str]:
        """Return every value that a field has in the whole journal."""
        try:
            return set(map(str, self._reader.query_unique(field)))
        except OSError as error:
            raise _unavailable(error) from error

    def latest_entries(
        self, fields: Iterable[str], since: Instant, limit: int, wanted: Iterable[str] = ()
    ) -> list[tuple[bytes, dict[str, str]]]:
        """Read the latest entries that match, back to an instant, latest first. Leaves the read position undefined.

        Returns:
            For each entry, its message and the wanted fields that it has.

        """
        found: list[tuple[bytes, dict[str, str]]] = []
        try:
            self._match(fields)
            self._reader.seek_tail()
            while len(found) < limit and self._reader._previous():  # noqa: SLF001
                message, at = self._entry()
                if at < since:
                    break
                if message is not None:
                    found.append((message, {name: self._text(name) for name in wanted if self._has(name)}))
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()
        return found

    def find_instances(self, since: Instant) -> None:
        """Find the units that have lines since an instant, and add instances of globs that have lines or are running.

        Leaves the read position undefined.
        """
        has_globs = not all(map(is_plain, self._settings.units))
        if not has_globs and len(self.units) <= 1:
            return  # with a single unit, nothing depends on it
        try:
            found = set(self.units)
            if has_globs:
                found |= instances(self._settings, map(str, self._reader.query_unique("_SYSTEMD_UNIT")))
            last_at = {unit: self._last_line_at(unit) for unit in found}
            self._instances = sorted(found, key=lambda unit: last_at[unit])[-_INSTANCES:]
            if has_globs:
                # Some may never log a line. Their number is limited, because anyone can write this field.
                reported = instances(self._settings, map(str, self._reader.query_unique("UNIT"))) - found
                self._instances += sorted(reported)[:_INSTANCES]
            self.active = {unit for unit in self._instances if last_at.get(unit, -1) >= max(since, 0)}
            self.units |= self.active | {unit for unit in self._instances if self._runs(unit, since)}
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()

    def _last_line_at(self, unit: str) -> Instant:
        self._match([f"_SYSTEMD_UNIT={unit}"])
        self._reader.seek_tail()
        return self._reader._get_realtime() if self._reader._previous() else 0  # noqa: SLF001

    def _runs(self, unit: str, until: Instant) -> bool:
        states = UnitStates()
        for message in reversed(self._latest_messages(matches_about(unit, RUNNING_BY_ID), until)):
            states.record(message)
        return states.latest is not None and states.latest.is_running

    def _match_lines(self) -> None:
        # Entries that merely claim to be from the units do not match, nor do our own. The last alternative matches
        # journald's messages about any unit.
        lines = line_matches(self._settings, self.units)
        self._match(*lines, ["_TRANSPORT=driver", f"MESSAGE_ID={DROPPED_ID}"])

    def _match(self, *alternatives: Iterable[str]) -> None:
        self._reader.flush_matches()
        for number, fields in enumerate(alternatives):
            if number:
                self._reader.add_disjunction()
            self._reader.add_match(*fields)

    def _descriptor(self, *, is_watching: bool) -> int | None:
        descriptor: int | None = None
        if is_watching:
            try:
                descriptor = self._reader.fileno()
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
        # libsystemd leaves out a journal file without an error if no descriptor was free for it. The descriptors with
        # which it read the directories are free again, so a single free one proves nothing: several must be free.
        spare: list[int] = []
        try:
            while len(spare) < _SPARE_DESCRIPTORS:
                spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        finally:
            for one in spare:
                os.close(one)
        return descriptor

    def _not_opened(self) -> list[LeftOutFile]:
        directories = places(self._settings)
        if not left_out_files(directories):
            return []
        self.process()  # the file may have been created just now
        return left_out_files(directories)

    def is_outdated(self) -> bool:
        """Return whether there may be journal files that this reader will never notice, or cannot read."""
        try:
            if self._places != self._identities() or unreadable_files(self._settings):
                return True
            if self._files is not None:
                return False  # the opener of this reader looks for new files
            if self.fd is None:
                return True
            changed_at = places_changed_at(self._settings)
            if changed_at == self._listed_at:
                return False
            self._listed_at = changed_at
            return self._not_opened() != self.left_out
        except (OSError, SourceUnavailable):
            return True  # opening it again will report what is wrong

    def _identities(self) -> list[tuple[int, int]]:
        """Return the device and inode of each directory of its files."""
        if self._files is None:
            return identities(every_place(self._settings))
        return identities(sorted({file.path.parent for file in self._files}))

    def seek(self, since: Instant) -> None:
        """Seek to before the first entry with `t >= since`."""
        try:
            # Not the method of the same name in `journal.Reader`: that one takes seconds, and rounds them.
            journal._Reader.seek_realtime(self._reader, max(since, 0))  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        self._is_on_unread = False

    def seek_cursor(self, cursor: str) -> None:
        """Seek to after the entry of a cursor, or to before the next entry if that one is gone."""
        try:
            self._reader.seek_cursor(cursor)
            # Whether the entry of the cursor still exists can be tested only after a step.
            has_entry = self._reader._next()  # noqa: SLF001
            self._is_on_unread = has_entry and not self._reader.test_cursor(cursor)
        except OSError as error:
            raise _unavailable(error) from error

    def read(self) -> Iterator[tuple[bytes | None, Instant]]:
        """Read to the present end; yield each entry's message with its realtime timestamp.

        The message is None if the entry is damaged or is only a part of a line; `unread` is the reason. The caller may
        stop at any point, and call this again.
        """
        reader = self._reader
        get_next = reader._next  # noqa: SLF001
        since_process = 0
        try:
            reader.process()  # reading other machines' journals may have taken long since the last call
            while self._is_on_unread or get_next():
                self._is_on_unread = False
                yield self._entry()
                since_process += 1
                if since_process == _BATCH:
                    since_process = 0
                    reader.process()
        except OSError as error:
            raise _unavailable(error) from error

    def read_units(
        self, units: Iterable[str], since: Instant, until: Instant
    ) -> Iterator[tuple[bytes | None, Instant]]:
        """Read the lines of these units with `since <= t <= until`, as `read`. Leaves the read position undefined."""
        try:
            self._match(*line_matches(self._settings, sorted(units)))
            self.seek(since)
            for message, at in self.read():
                if at > until:
                    break
                yield message, at
        finally:
            self._match_lines()

    def read_back(self, until: Instant) -> Iterator[tuple[bytes | None, Instant]]:
        """Read from the last entry with `t <= until` back to the beginning; yield as `read` does."""
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
        except OSError:  # only this entry is damaged; a damaged journal fails at the next step
            self.unread, self.rest = _DAMAGED, b""
            return None, at
        # Tested here as well, to save a call for each entry.
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

    def monotonic(self) -> tuple[int, str] | None:
        """Return the monotonic timestamp, in microseconds, and boot of the entry read last; None if it has none."""
        try:
            at, boot = self._reader._get_monotonic()  # noqa: SLF001
        except (OSError, ValueError):
            return None
        return at, str(boot)

    def is_of_journald(self) -> bool:
        """Return whether the entry read last is journald's own message that it suppressed lines of a unit."""
        return self._field("_TRANSPORT") == b"driver" and self._text("MESSAGE_ID") == DROPPED_ID

    def unit_messages(self, place: Instant | str) -> tuple[list[UnitMessage], str | None]:
        """Read the managers' messages about the units, from an instant or after a cursor.

        Leaves the read position undefined.

        Returns:
            The messages, in the journal's order, and the cursor of the last entry read; None if there was none.

        """
        found: list[UnitMessage] = []
        count, is_watched = 0, watched_units(self._settings).matches
        try:
            self._match(*unit_matches(self._settings, RUNNING_BY_ID), _BOOTED)
            if isinstance(place, str):
                self.seek_cursor(place)
            else:
                self.seek(place)
            while self._is_on_unread or self._reader._next():  # noqa: SLF001
                self._is_on_unread = False
                count += 1
                unit = self._text("UNIT")
                if not unit or is_watched(unit):  # a user's unit was matched by name
                    found.append(self._unit_message())
            return found, self.cursor() if count else None
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()

    def latest_unit_messages(self, until: Instant) -> list[UnitMessage]:
        """Read the managers' latest messages with `t <= until`, however old. Leaves the read position undefined.

        Returns:
            For each unit, enough messages to show its state and since when; all in order of time.

        """
        try:
            about_each = matches_about_each(self._settings, {*self.units, *self._instances}, RUNNING_BY_ID)
            found = [message for fields in about_each for message in self._latest_messages(fields, until)]
            self._match(_BOOTED)
            self.seek(until)
            if self._reader._previous():  # noqa: SLF001
                found.append(self._unit_message())
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()
        return sorted(found, key=lambda message: message.at)

    def _latest_messages(self, fields: Iterable[str], until: Instant) -> list[UnitMessage]:
        """Read back to the start of the unit's latest run; return the latest message first."""
        self._match(fields)
        self.seek(until)
        found: list[UnitMessage] = []
        while len(found) < _LATEST_MESSAGES and self._reader._previous():  # noqa: SLF001
            message = self._unit_message()
            # A directory may hold the messages of several machines.
            if found and found[-1].is_start_after(message) and self._settings.directory is None:
                break
            found.append(message)
        return found

    def _unit_message(self) -> UnitMessage:
        message_id = self._text("MESSAGE_ID")
        unit, invocation = self._text("UNIT"), "INVOCATION_ID"
        if not unit:
            user_unit, invocation = self._text("USER_UNIT"), "USER_INVOCATION_ID"
            unit = user_unit and f"{self._text('_UID')}/{user_unit}"  # no system unit has a name with a slash
        return UnitMessage(
            unit="" if message_id in BOOTED_IDS else unit,
            at=self._reader._get_realtime(),  # noqa: SLF001
            is_running=RUNNING_BY_ID.get(message_id, False),
            invocation=self._text(invocation) if self._has(invocation) else None,
            machine=self._text("_MACHINE_ID"),
            boot=self._text("_BOOT_ID"),
            is_failed_start=message_id == FAILED_START_ID,
        )

    def _text(self, name: str) -> str:
        return self._field(name).decode("utf-8", "replace")

    def _has(self, name: str) -> bool:
        try:
            self._reader._get(name)  # noqa: SLF001
        except (KeyError, OSError):
            return False
        return True

    def oldest_at(self) -> Instant | None:
        """Return the time of the oldest entry; None if the journal is empty. Leaves the read position undefined."""
        namespace = self._settings.namespace
        try:
            self._match(*([] if namespace is None else [[f"_NAMESPACE={namespace}"]]))
            self._reader.seek_head()
            return self._reader._get_realtime() if self._reader._next() else None  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()

    def has_lines(self) -> bool:
        """Return whether there is any line of the units, however long ago. Leaves the place unset."""
        lines = line_matches(self._settings, self.units)
        return bool(lines) and self.has_any(*lines)

    def has_any(self, *alternatives: Iterable[str]) -> bool:
        """Return whether any entry has all fields of an alternative. Leaves the read position undefined."""
        try:
            self._match(*alternatives)
            self._reader.seek_head()
            return bool(self._reader._next())  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()

    def cursor(self) -> str:
        """Return the cursor of the entry read last; there must be one."""
        try:
            name: str = self._reader._get_cursor()  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        return name

    def timeout(self) -> float | None:
        """Return in how many seconds `process` is due even without a signal from the descriptor; None for never."""
        if self.fd is None:
            return None
        at_us: int | None = self._reader.get_timeout()
        return None if at_us is None else max(0.0, at_us / 1e6 - time.monotonic())

    def process(self) -> None:
        """Update the reader for changes of the journal's files. Call it when the descriptor is readable."""
        try:
            self._reader.process()
        except OSError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close the journal. The event loop must have stopped watching the descriptor before."""
        self._reader.close()


def _opened(settings: JournalSettings) -> Any:
    if settings.directory is not None:
        return journal.Reader(path=str(settings.directory))
    if settings.namespace is not None:
        # The service manager logs about a unit in the default namespace, whatever namespace the unit logs to.
        return journal.Reader(flags=_LOCAL_ONLY | _WITH_DEFAULT_NAMESPACE, namespace=settings.namespace)
    return journal.Reader()


def _opened_files(files: Sequence[Path]) -> Any:
    while True:
        try:
            return journal.Reader(files=[str(file) for file in files])
        except FileNotFoundError:  # renamed or deleted since it was listed
            files = [file for file in files if file.exists()]
            if not files:  # systemd-python does not handle an empty list
                raise


def _unavailable(error: OSError) -> SourceUnavailable:
    return SourceFailing(f"the journal cannot be read: {error.strerror or error}")
