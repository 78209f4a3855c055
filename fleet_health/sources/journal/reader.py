"""One open journal, filtered to a receiver's units, and read without ever raising for what an entry holds.

`systemd.journal.Reader` is used by its low-level calls only. Iterating over it converts every field of every entry:
that is fifteen times slower, and a single odd field (a COREDUMP_TIMESTAMP of thirty nines) makes it raise and stay
where it is. What else is worth knowing:

* Its descriptor must be asked for at once. Journal files that were opened before it are not watched, and stay open
  after they were deleted (systemd#14695).
* The descriptor is an inotify instance, of which a user has but 128. Without one the files that are there can be read
  all the same, but `process()` never learns of another: such a reader is good for one look.
* `process()` must be called now and then while reading, or a vacuum makes every further read fail (loki#4053).
* Of an entry that is being written it may see that there is one more, but not yet what it matches: then it does not
  look into that file again before the next entry is written, unless it is made to seek (seen).
* It is not safe to use from two threads, nor to close while the loop watches its descriptor (python-systemd#143).
* To ask an entry for a field that it lacks costs more than reading its message. So the lines of the units, and the
  messages about them, which differ by MESSAGE_ID, are read in separate passes.
* It knows no globs. Which instances there are, the journal's index of `_SYSTEMD_UNIT` shows.
* It sees a directory that is made anew under the same name, or only after it was opened, but for the default
  namespace's, and only if `/var/log/journal` was there. Hence `is_outdated`.
* A file of a format that it does not know it leaves out without error, and so it does with one that is damaged at its
  head. Hence `left_out`.
* To open a journal without permission succeeds, and shows no entries. Hence `refuse_unreadable`.
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

# So far back a unit's state is looked for, in its messages: a unit that can never be started makes many in a row.
_LATEST_MESSAGES = 4_096

# So many instances of globs are known at a time, those with the latest lines. A line costs the more the more there are.
_INSTANCES = 256

_BOOTED = ("_PID=1", *(f"MESSAGE_ID={one}" for one in sorted(BOOTED_IDS)))

_DAMAGED = Rejection("damaged journal entry", "")
_BROKEN_LINE = Rejection("part of a line that journald broke (longer than LineMax=)", "")


class JournalReader:
    """Reads the lines of the receiver's units, and the service managers' messages about these units.

    Args:
        settings: Which journal, and which units.
        files: The only files to read, as long as they exist; None for the whole journal, including new files.
        is_watching: Whether to have a descriptor. Who reads certain files can do without.

    Attributes:
        units: The receiver's units, as far as they are known by name: all but the instances of globs at first.
        active: The units in which `find_instances` found lines, if there are several.
        fd: Readable when the journal's files have changed; None if there is no inotify instance for it.
        unread: Why the entry read last gave no message.
        rest: The rest of a broken line that was left out though it may be a whole line; else empty.
        left_out: The files, of those that are not written to any more, that libsystemd does not read.

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
            self.close()  # a traceback would keep it, and its files, open
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
        """Read the lines of these units, too, from the place that is set next."""
        self.units.update(units)
        self._match_lines()

    def values_of(self, field: str) -> set[str]:
        """Look up every value that a field has in the whole journal."""
        try:
            return set(map(str, self._reader.query_unique(field)))
        except OSError as error:
            raise _unavailable(error) from error

    def latest_entries(
        self, fields: Iterable[str], since: Instant, limit: int, wanted: Iterable[str] = ()
    ) -> list[tuple[bytes, dict[str, str]]]:
        """Read the latest entries that have some fields, back to an instant, the latest first; leaves the place unset.

        Returns:
            Each entry's message, with what the wanted fields hold of those that it has.

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
        """Look up which units have lines from an instant on, and add the instances of globs that have or that run.

        Leaves the place unset.
        """
        has_globs = not all(map(is_plain, self._settings.units))
        if not has_globs and len(self.units) <= 1:
            return  # of a single unit nothing depends on that
        try:
            found = set(self.units)
            if has_globs:
                found |= instances(self._settings, map(str, self._reader.query_unique("_SYSTEMD_UNIT")))
            last_at = {unit: self._last_line_at(unit) for unit in found}
            self._instances = sorted(found, key=lambda unit: last_at[unit])[-_INSTANCES:]
            if has_globs:
                # Some may never log a line. Of these not too many: anyone can write this field.
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
        # What merely claims to be the units' does not match, nor does anything that we ourselves send. The last is
        # journald's message about any unit.
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
        # A journal file for which there was no descriptor libsystemd has left out without an error. Those with which it
        # went through the directories are free again, so one that is free now proves nothing: there must be some.
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
        self.process()  # it may have been made just now
        return left_out_files(directories)

    def is_outdated(self) -> bool:
        """Return whether there can be journal files that this reader will never learn of, or cannot read."""
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
        """Return the device and inode of each of the directories that its files are in."""
        if self._files is None:
            return identities(every_place(self._settings))
        return identities(sorted({file.path.parent for file in self._files}))

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
            reader.process()  # another machine's reader may have been read meanwhile, for long
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
        """Read the lines of these units with `since <= t <= until`, as `read` gives them. Leaves the place unset."""
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

    def monotonic(self) -> tuple[int, str] | None:
        """Return when the entry read last was made by the monotonic clock, and in which boot; None if it lacks that."""
        try:
            at, boot = self._reader._get_monotonic()  # noqa: SLF001
        except (OSError, ValueError):
            return None
        return at, str(boot)

    def is_of_journald(self) -> bool:
        """Return whether the entry read last is journald's own: that it suppressed lines of a unit."""
        return self._field("_TRANSPORT") == b"driver" and self._text("MESSAGE_ID") == DROPPED_ID

    def unit_messages(self, place: Instant | str) -> tuple[list[UnitMessage], str | None]:
        """Read the managers' messages about the units, from an instant or behind a cursor on. Leaves the place unset.

        Returns:
            The messages, in the journal's order, and the cursor of the last one that was read; None if there was none.

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
                if not unit or is_watched(unit):  # a unit of a user matches by its name
                    found.append(self._unit_message())
            return found, self.cursor() if count else None
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()

    def latest_unit_messages(self, until: Instant) -> list[UnitMessage]:
        """Look up the managers' latest messages with `t <= until`, however long ago. Leaves the place unset.

        Returns:
            Of each unit as many as show its state and since when, all in the order of time.

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
        """Read back to the start of the unit's latest run, the latest message first."""
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
        """Look up when the oldest entry of the whole journal was made; None if it is empty. Leaves the place unset."""
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
        """Return whether there is any entry with all fields of one of the alternatives. Leaves the place unset."""
        try:
            self._match(*alternatives)
            self._reader.seek_head()
            return bool(self._reader._next())  # noqa: SLF001
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            self._match_lines()

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


def _opened(settings: JournalSettings) -> Any:
    if settings.directory is not None:
        return journal.Reader(path=str(settings.directory))
    if settings.namespace is not None:
        # What the service manager logs about a unit is in the default namespace, wherever the unit logs.
        return journal.Reader(flags=_LOCAL_ONLY | _WITH_DEFAULT_NAMESPACE, namespace=settings.namespace)
    return journal.Reader()


def _opened_files(files: Sequence[Path]) -> Any:
    while True:
        try:
            return journal.Reader(files=[str(file) for file in files])
        except FileNotFoundError:  # renamed or deleted since it was listed
            files = [file for file in files if file.exists()]
            if not files:  # systemd-python does not know what to do with none
                raise


def _unavailable(error: OSError) -> SourceUnavailable:
    return SourceFailing(f"the journal cannot be read: {error.strerror or error}")
