"""Read the journal in calls that each run in a thread for one slice of time.

A directory may contain the journals of several machines. Each machine has its own reader and read position, and they
are read one after another. Calls must not overlap, because libsystemd permits only one thread to use a reader. The
event loop delivers the results of a call from `found`.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import structlog

from fleet_health.model.coverage import REMOVED, Gap
from fleet_health.model.unit_states import UnitStates
from fleet_health.sources.journal.lines import log_parser, lost_behind_broken, share_of
from fleet_health.sources.journal.machines import (
    WATCHED,
    Files,
    MachineFiles,
    in_time,
    left_out_gaps,
    oldest_of,
)
from fleet_health.sources.journal.matches import instances
from fleet_health.sources.journal.reader import JournalReader
from fleet_health.sources.journal.system_messages import SUPPRESSED_WORD, suppressed_gap
from fleet_health.sources.journal.unheard import unheard_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.coverage import Share
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.model.unit_states import UnitMessage
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection
    from fleet_health.sources.state import SourceState

# The duration of a slice in seconds. Results are delivered after each slice, however long the backlog.
_SLICE = 0.01
# How many seconds to wait before looking again for configured units and matches without an entry.
_ASK_AGAIN = 2.0

_Entries: TypeAlias = "Iterator[tuple[bytes | None, Instant]]"

_log = structlog.get_logger("fleet_health.sources")


@dataclass(slots=True, eq=False)
class Part:
    """The journal of one machine, with its read position.

    Attributes:
        files: The files with which the reader was opened.
        reader: Its reader; None while it is not open.
        cursor: The cursor of the last entry that was read; None if there is none.
        since: The instant from which to read without a cursor.
        seen_until: The instant up to which it was read, by this or an earlier process; None if unknown.
        units: The units whose lines are read.
        after_unit_message: The cursor or instant after which messages of systemd are read; 0 at first.

    """

    files: Files = None
    reader: JournalReader | None = None
    cursor: str | None = None
    since: Instant = 0
    seen_until: Instant | None = None
    units: set[str] = field(default_factory=set)
    after_unit_message: Instant | str = 0


OpenPart: TypeAlias = tuple[Part, JournalReader]


@dataclass(slots=True)
class Look:
    """One read of the journal, from the read position to the present end.

    Attributes:
        unread: For each machine, the entries that are still to be read.
        is_end: Whether all entries were read.
        outdated: The parts whose files have changed, valid at the end.
        is_outdated: Whether there are such parts, or a machine without an open part; valid at the end.

    """

    unread: deque[tuple[Part, JournalReader, _Entries]]
    is_end: bool = False
    outdated: Sequence[Part] = ()
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """The entries of one slice of time.

    Attributes:
        count: The number of entries.
        rejections: The entries that were rejected.
        behind_broken: The instants of lines that may be missing because they followed a part of a broken line.
        observations: The observations from the other entries.
        newest_at: The latest read position of any machine's journal at the end of the slice; None if there is none.
        share: The share of lines that was understood.

    """

    count: int
    rejections: Sequence[Rejection]
    behind_broken: Sequence[Instant]
    observations: Sequence[LogObservation]
    newest_at: Instant | None
    share: Share


class Taker(Protocol):
    """Takes the results, in the event loop."""

    def take(self, read: Slice) -> None:
        """Take the entries of one slice of time."""

    def take_states(self, states: Sequence[UnitState]) -> None:
        """Take the states of the units that systemd reported."""

    def take_gap(self, gap: Gap) -> None:
        """Take a gap."""

    def take_unheard(self, unheard: tuple[str, ...]) -> None:
        """Take one sentence for each configured unit or match without an entry."""


class JournalReading:
    """Reads the journal, in calls that each last a slice of time.

    Attributes:
        state: The state of the source, in which the begin of the journal is recorded.
        found: The results to deliver, in order, including those of a late call.

    """

    def __init__(
        self,
        settings: JournalSettings,
        state: SourceState,
        taker: Taker,
        *,
        lookback_us: int,
        states_us: int,
        seen_until: Instant | None,
        clock: Callable[[], Instant],
    ) -> None:
        """Prepare to read.

        Args:
            settings: The journal, the units, and the patterns of their lines.
            state: The state of the source, in which the begin of the journal is recorded.
            taker: Takes the results.
            lookback_us: How far back from the present to begin.
            states_us: How much further back the starts and stops of the unit are read.
            seen_until: The instant up to which an earlier process has read this journal; None if none has.
            clock: Returns the present.

        """
        self.state = state
        self.found: deque[Callable[[], None]] = deque()
        self._settings = settings
        self._taker = taker
        self._lookback_us = lookback_us
        self._states_us = states_us
        self._seen_until = seen_until
        self._clock = clock
        self._parser = log_parser(settings)
        self._parse_into = self._parser.parse_into
        self._files = MachineFiles(settings)
        self._parts: dict[str, Part] = {}  # by machine id
        self._states = UnitStates()
        self._is_polling_logged = False
        self._ask_again_at = 0.0
        self._left: list[JournalReader] = []  # to be closed

    @property
    def parts(self) -> list[Part]:
        """The parts of the journal, whether or not they are open."""
        return list(self._parts.values())

    def begin(self, is_hinted: bool) -> Look:  # noqa: FBT001 - for a thread
        """Open the journal if it is not open, and read for one slice of time.

        Args:
            is_hinted: Whether there is a hint of new entries. Without a hint, entries that were not signalled are
                searched for as well.

        """
        if not self.open_parts():
            self._open()
        parts = self.open_parts()
        for _, reader in parts:
            reader.process()
        if self.state.unheard and not is_hinted and time.monotonic() >= self._ask_again_at:
            self._note_unheard()
        if not is_hinted:
            self._read_unit_messages(parts)
            self._seek(parts)  # without a seek, an entry that was being written may be skipped
        return self.read_slice(_look_at(parts))

    def begin_with_new(self) -> Look:
        """Open the parts that are not open, and read them for one slice of time."""
        return self.read_slice(_look_at(self._open()))

    def read_slice(self, look: Look) -> Look:
        """Continue for one slice of time. At the end, determine the outdated parts."""
        until = time.monotonic() + _SLICE
        while look.unread:
            if self._read_part(*look.unread[0], until):
                return look
            look.unread.popleft()
        look.is_end = True
        left_out_before = self._files.left_out
        files_of_each = self._files.look()
        if self._files.left_out != left_out_before:
            self._find_gaps((), self._clock() - self._lookback_us)
        look.outdated = [
            part
            for machine, part in self._parts.items()
            if part.reader is not None and (part.files != files_of_each.get(machine) or part.reader.is_outdated())
        ]
        opened = {machine for machine, part in self._parts.items() if part.reader is not None}
        look.is_outdated = bool(look.outdated) or not opened.issuperset(files_of_each)
        return look

    def open_parts(self) -> list[OpenPart]:
        """Return the parts that are open, with their readers."""
        return [(part, part.reader) for part in list(self._parts.values()) if part.reader is not None]

    def leave(self, parts: Iterable[Part]) -> bool:
        """Detach the readers of some parts, which `close_left` closes. Return whether there are any to close."""
        for part in parts:
            if part.reader is not None:
                self._left.append(part.reader)
                part.reader = None
        return bool(self._left)

    def close_left(self) -> None:
        """Close the readers that were detached."""
        while self._left:
            self._left.pop().close()

    def _read_part(self, part: Part, reader: JournalReader, entries: _Entries, until: float) -> bool:
        """Continue until a time of the monotonic clock. Return False if the end was reached."""
        observations: list[LogObservation] = []
        rejections: list[Rejection] = []
        behind_broken: list[Instant] = []
        missed_before = self._parser.missed
        count, last_at = 0, part.seen_until
        try:
            for message, at in entries:
                count += 1
                if message is None:
                    rejections.append(reader.unread)
                    behind_broken += lost_behind_broken(self._parser, reader.rest, at)
                elif message.startswith(SUPPRESSED_WORD) and reader.is_of_journald():
                    before = at - self._lookback_us if last_at is None else last_at
                    if (gap := suppressed_gap(self._settings, message, before, at)) is not None:
                        self.found.append(partial(self._taker.take_gap, gap))
                else:
                    self._parse_into(observations, rejections, message, at)
                last_at = at
                if time.monotonic() > until:
                    return True
            return False
        finally:
            # Entries before an error count only with a known cursor. Without one the whole slice is read again, and
            # they would be counted twice.
            if count:
                part.cursor = reader.cursor()
                part.seen_until = last_at  # entries are read in the order in which they were written
                share = share_of(self._parser, missed_before, observations)
                read = Slice(count, rejections, behind_broken, observations, self._newest_at(), share)
                self.found.append(partial(self._taker.take, read))

    def _newest_at(self) -> Instant | None:
        """Return the latest read position of any machine's journal; None if there is none."""
        read = [part.seen_until for part in self._parts.values() if part.cursor is not None]
        return max((at for at in read if at is not None), default=None)

    def _open(self) -> list[OpenPart]:
        """Open the parts that are not open, and return them."""
        now = self._clock()
        since = now - self._lookback_us
        self._files = MachineFiles(self._settings)  # a file may have become damaged
        opened = self._open_readers(self._files.look(), since)
        self._find_gaps(opened, since)
        for _, reader in opened:
            reader.find_instances(since)
        self._read_latest_unit_messages(opened, since - self._states_us)
        self._note_unheard()
        if not opened or any(part.cursor is None for part, _ in opened):
            self._note_extent(now)
        self._read_unit_messages(opened)
        self._seek(self.open_parts())
        readers = [reader for _, reader in self.open_parts()]
        is_polling = bool(readers) and all(reader.fd is None for reader in readers)
        if is_polling and not self._is_polling_logged:
            _log.warning("inotify instances used up (fs.inotify.max_user_instances), polling the journal")
        self._is_polling_logged = is_polling
        return opened

    def _open_readers(self, files_of_each: dict[str, Files], since: Instant) -> list[OpenPart]:
        # The journal of a machine that appears later may be unread.
        is_first = all(part.cursor is None for part in self._parts.values())
        seen_until = self._seen_until if is_first else None
        if is_first:
            self.state.read_since = since
        # A part whose files are gone is kept, so that it is not read twice when they come back.
        self._parts = {
            machine: part
            for machine, part in self._parts.items()
            if machine in files_of_each or part.reader is not None or (part.cursor and (part.seen_until or 0) >= since)
        }
        opened: list[OpenPart] = []
        for machine, files in files_of_each.items():
            part = self._parts.setdefault(machine, Part(seen_until=seen_until))
            if part.reader is None:
                # Stored at once, so that `_release` closes it if a later step fails.
                is_watching = sum(reader.fd is not None for _, reader in self.open_parts()) < WATCHED
                part.files, part.reader = files, JournalReader(self._settings, files, is_watching=is_watching)
                if part.cursor is None:
                    part.since = since
                opened.append((part, part.reader))
        return opened

    def _find_gaps(self, opened: Sequence[OpenPart], since: Instant) -> None:
        """Record the gaps from entries that were removed unread, and from files that libsystemd does not read."""
        left_out = left_out_gaps(self._files, [reader for _, reader in opened])
        gaps = [gap for gap in left_out if gap.until >= since]
        for part, reader in opened:
            if part.cursor is not None:
                gaps += _removed(part.seen_until, [reader])
        if opened and len(opened) == len(self._parts) and all(part.cursor is None for part, _ in opened):
            # The read position of an earlier process in each of them is unknown, because a machine may be new.
            gaps += _removed(self._seen_until, [reader for _, reader in opened])
        self.found += [partial(self._taker.take_gap, gap) for gap in gaps]

    def _note_extent(self, now: Instant) -> None:
        """Record the begin of the journal, and whether it has any entry of the receiver."""
        state, readers = self.state, [reader for _, reader in self.open_parts()]
        oldest_at = oldest_of(readers)
        # Only the begin at the first opening counts, because entries that are removed after they were read are no loss.
        begins_at = now if oldest_at is None else min(oldest_at, now)
        if state.begins_at is None or begins_at < state.begins_at:
            state.begins_at = begins_at
        if self._states.latest is not None or any(reader.has_lines() for reader in readers):
            state.void_since = None
        elif state.void_since is None:
            state.void_since = now

    def _note_unheard(self) -> None:
        """Record which configured units and matches have no entry. This may change when a unit is installed or logs."""
        self._ask_again_at = time.monotonic() + _ASK_AGAIN
        unheard = unheard_in([reader for _, reader in self.open_parts()], self._settings)
        self.found.append(partial(self._taker.take_unheard, tuple(unheard)))

    def _read_latest_unit_messages(self, opened: Sequence[OpenPart], since: Instant) -> None:
        """Read the latest messages of systemd about the units, in new parts."""
        new = [(part, reader) for part, reader in opened if not part.after_unit_message]
        known = self._states.latest
        for message in in_time(reader.latest_unit_messages(since) for _, reader in new):
            self._states.record(message)
        for part, _ in new:
            part.after_unit_message = since
        if self._states.latest is not None and self._states.latest != known:
            self.found.append(partial(self._taker.take_states, [self._states.latest]))
        for _, reader in opened:
            self._states.expect(reader.active)

    def _read_unit_messages(self, parts: Sequence[OpenPart]) -> None:
        """Read the new messages of systemd about the units, and the lines of new instances up to the read position."""
        messages_of_each = [self._new_unit_messages(part, reader) for part, reader in parts]
        changes = [state for one in in_time(messages_of_each) if (state := self._states.record(one)) is not None]
        if changes:
            self.found.append(partial(self._taker.take_states, changes))

    def _new_unit_messages(self, part: Part, reader: JournalReader) -> list[UnitMessage]:
        messages, cursor = reader.unit_messages(part.after_unit_message)
        part.after_unit_message = cursor or part.after_unit_message
        found = {*reader.units, *instances(self._settings, (message.unit for message in messages))}
        if new := found - part.units:
            if part.cursor is not None and part.seen_until is not None:
                self._read_missed(reader, new, part.seen_until)
            part.units |= new
        reader.add_units(part.units)
        return messages

    def _read_missed(self, reader: JournalReader, units: set[str], until: Instant) -> None:
        """Read the lines of units that were not known when the other entries were read."""
        observations: list[LogObservation] = []
        rejections: list[Rejection] = []
        count, missed_before = 0, self._parser.missed
        for message, at in reader.read_units(units, self._clock() - self._lookback_us, until):
            count += 1
            if message is None:
                rejections.append(reader.unread)
            else:
                self._parse_into(observations, rejections, message, at)
        share = share_of(self._parser, missed_before, observations)
        read = Slice(count, rejections, (), observations, self._newest_at(), share)
        self.found.append(partial(self._taker.take, read))

    @staticmethod
    def _seek(parts: Iterable[OpenPart]) -> None:
        """Seek to after the entry that was read last, or to the begin of reading."""
        for part, reader in parts:
            if part.cursor is None:
                reader.seek(part.since)
            else:
                reader.seek_cursor(part.cursor)


def _look_at(parts: Iterable[OpenPart]) -> Look:
    return Look(deque((part, reader, reader.read()) for part, reader in parts))


def _removed(seen_until: Instant | None, readers: Iterable[JournalReader]) -> list[Gap]:
    """Return the gap from entries after an instant that were removed; empty if there are none."""
    oldest_at = None if seen_until is None else oldest_of(readers)
    if seen_until is None or oldest_at is None or oldest_at <= seen_until:
        return []
    return [Gap(seen_until, oldest_at, REMOVED)]
