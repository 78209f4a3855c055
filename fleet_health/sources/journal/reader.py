"""Read an open journal for the units of a receiver: their lines, and the messages of service managers about them.

* Looking up a field that an entry lacks costs more than reading its message. So the lines of the units and the messages
  about them, which differ by MESSAGE_ID, are read in separate passes.
* Matches cannot contain globs. The existing instances are looked up in the journal's index of `_SYSTEMD_UNIT`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.host_globs import is_plain
from fleet_health.model.window import NEVER
from fleet_health.parsing.long_line import LINE_LIMIT
from fleet_health.parsing.rejection import Rejection
from fleet_health.sources.journal.broken_lines import BrokenLines
from fleet_health.sources.journal.entry_reader import EntryReader, unavailable_on_error
from fleet_health.sources.journal.matches import instances, line_matches, plain_units
from fleet_health.sources.journal.system_messages import DROPPED_ID
from fleet_health.sources.journal.unit_messages import is_running, latest_messages, messages_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.unit_states import UnitMessage
    from fleet_health.sources.journal.files import File

# The number of entries between two calls of `process()`.
_BATCH = 1_024

# How many instances of globs to follow, those with the latest lines. More instances make reading each line slower.
_INSTANCES = 256

_DAMAGED = Rejection("damaged journal entry", "")
_BROKEN_LINE = Rejection("part of a line that journald broke (longer than LineMax=)", "")


class JournalReader(EntryReader):
    """Reads the lines of the units of a receiver, and the messages of service managers about these units.

    Args:
        settings: Which journal, and which units.
        files: The only files to read, as long as they exist; None for the whole journal, including new files.
        is_watching: Whether to create a descriptor. A reader of given files can do without one.

    Attributes:
        units: The names of the receiver's units that are known: at first all except the instances of globs.
        active: The units in which `find_instances` found lines, if there are several.
        unread: The reason why the entry read last gave no message.
        rest: The message of an entry left out as the rest of a broken line that may be a whole line; else empty.

    Raises:
        SourceUnavailable: In every method, if the journal is missing, may not be read, or cannot be read now.

    """

    def __init__(
        self, settings: JournalSettings, files: Sequence[File] | None = None, *, is_watching: bool = True
    ) -> None:
        super().__init__(settings, files, is_watching=is_watching)
        self.unread, self.rest = _DAMAGED, b""
        self._broken_lines = BrokenLines(self.field)
        self.units, self.active, self._instances = set(plain_units(settings)), set[str](), list[str]()
        self._select_lines()

    def add_units(self, units: Iterable[str]) -> None:
        """Include the lines of these units after the next seek."""
        self.units.update(units)
        self._select_lines()

    def _select_lines(self) -> None:
        # Entries that only claim to be from the units do not match, nor do entries of fleet-health. The last
        # alternative matches messages of journald about any unit.
        self.select(*line_matches(self._settings, self.units), ["_TRANSPORT=driver", f"MESSAGE_ID={DROPPED_ID}"])

    def find_instances(self, since: Instant) -> None:
        """Find the units that have lines since an instant, and add instances of globs that have lines or are running.

        Leaves the read position undefined.
        """
        has_globs = not all(map(is_plain, self._settings.units))
        if not has_globs and len(self.units) <= 1:
            return  # not needed for a single unit
        with self.detour():
            found = set(self.units)
            if has_globs:
                found |= instances(self._settings, self.values_of("_SYSTEMD_UNIT"))
            last_at = {unit: next(self.latest([f"_SYSTEMD_UNIT={unit}"], None), 0) for unit in found}
            self._instances = sorted(found, key=lambda unit: last_at[unit])[-_INSTANCES:]
            if has_globs:
                # Some units may never log a line. The number is limited, because any client can write this field.
                reported = instances(self._settings, self.values_of("UNIT")) - found
                self._instances += sorted(reported)[:_INSTANCES]
            self.active = {unit for unit in self._instances if last_at.get(unit, -1) >= max(since, 0)}
            self.units |= self.active | {
                unit for unit in self._instances if is_running(self, self._settings, unit, since)
            }
        self._select_lines()

    def read(self, until: Instant = NEVER) -> Iterator[tuple[bytes | None, Instant]]:
        """Read to the present end. Yield the message and the realtime timestamp of each entry.

        The message is None if the entry is damaged or only a part of a line, with the reason in `unread`. The message
        of an entry later than `until` is not read, and is empty; an earlier entry may follow if the clock was set back.
        The caller may stop at any point and call this again.
        """
        reader = self._reader
        get_next = reader._next  # noqa: SLF001
        since_process = 0
        with unavailable_on_error():
            reader.process()  # reading other machines' journals may have taken long since the last call
            while self._is_on_unread or get_next():
                self._is_on_unread = False
                yield self._entry(until)
                since_process += 1
                if since_process == _BATCH:
                    since_process = 0
                    reader.process()

    def read_units(
        self, units: Iterable[str], since: Instant, until: Instant
    ) -> Iterator[tuple[bytes | None, Instant]]:
        """Read the lines of these units with `since <= t <= until`, as `read`. Leaves the read position undefined."""
        with self.detour():
            self._match(*line_matches(self._settings, sorted(units)))
            self.seek(since)
            for message, at in self.read():
                if at > until:
                    break
                yield message, at

    def read_back(self, until: Instant) -> Iterator[tuple[bytes | None, Instant]]:
        """Read from the last entry with `t <= until` back to the beginning; yield as `read` does."""
        self.seek(until)
        with unavailable_on_error():
            while self._reader._previous():  # noqa: SLF001
                yield self._entry()

    def latest_entries(
        self, fields: Iterable[str], since: Instant, limit: int, wanted: Iterable[str] = ()
    ) -> list[tuple[bytes, dict[str, str]]]:
        """Return the latest matching entries back to an instant, latest first. Leaves the read position undefined.

        Returns:
            The message of each entry, and those of the wanted fields that it has.

        """
        found: list[tuple[bytes, dict[str, str]]] = []
        with self.detour():
            self._match(fields)
            self._reader.seek_tail()
            while len(found) < limit and self._reader._previous():  # noqa: SLF001
                message, at = self._entry()
                if at < since:
                    break
                if message is not None:
                    found.append((message, {name: self.text(name) for name in wanted if self.has(name)}))
        return found

    def _entry(self, until: Instant = NEVER) -> tuple[bytes | None, Instant]:
        at: Instant = 0
        try:
            at = self._reader._get_realtime()  # noqa: SLF001
            if at > until:
                return b"", at
            message: bytes = self._reader._get("MESSAGE")  # noqa: SLF001
        except KeyError:
            return b"", at
        except OSError:  # this entry is damaged; a damaged journal would fail at the next step
            self.unread, self.rest = _DAMAGED, b""
            return None, at
        # Also tested here, to save a call for each entry.
        if (len(message) > LINE_LIMIT or self._broken_lines.streams) and self._broken_lines.is_part(message):
            self.unread, self.rest = _BROKEN_LINE, message if self._broken_lines.may_be_whole else b""
            return None, at
        return message, at

    def is_of_journald(self) -> bool:
        """Return whether the entry read last is a message of journald that it suppressed lines of a unit."""
        return self.field("_TRANSPORT") == b"driver" and self.text("MESSAGE_ID") == DROPPED_ID

    def has_lines(self) -> bool:
        """Return whether there is any line of the units, however old. Leaves the read position undefined."""
        lines = line_matches(self._settings, self.units)
        return bool(lines) and self.has_any(*lines)

    def unit_messages(self, place: Instant | str) -> tuple[list[UnitMessage], str | None]:
        """Return the messages of service managers about the units, from an instant or after a cursor.

        Leaves the read position undefined.

        Returns:
            The messages, in the journal's order, and the cursor of the last entry read; None if there was none.

        """
        return messages_from(self, self._settings, place)

    def latest_unit_messages(self, until: Instant) -> list[UnitMessage]:
        """Return the latest messages of service managers with `t <= until`, however old.

        Leaves the read position undefined.

        Returns:
            For each unit, enough messages to show its state and since when; all in order of time.

        """
        return latest_messages(self, self._settings, {*self.units, *self._instances}, until)
