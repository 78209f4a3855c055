"""Reads the journal in calls that each run in a thread and last one slice of time.

A directory may hold the journals of several machines. Each machine has its own reader and read position; they are read
one after another. Calls must not overlap, because libsystemd lets only one thread use a reader. A call leaves its
results in `found`, for the event loop to deliver.
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

# How long a slice lasts, in seconds. Results are delivered after each, however long the backlog.
_SLICE = 0.01
# How often, in seconds, to look again for configured units and matches that had no entry.
_ASK_AGAIN = 2.0

_Entries: TypeAlias = "Iterator[tuple[bytes | None, Instant]]"

_log = structlog.get_logger("fleet_health.sources")


@dataclass(slots=True, eq=False)
class Part:
    """The journal of one machine, and how far it has been read.

    Attributes:
        files: The files that the reader was opened on.
        reader: Its reader; None while it is not open.
        cursor: The cursor of the last entry that was read; None if none was.
        since: Where to begin reading while there is no cursor.
        seen_until: Up to when it was read, also by an earlier process; None if that is not known.
        units: The units to read lines of.
        after_unit_message: The cursor or instant after which to read systemd's messages; 0 at first.

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
        unread: The entries that are still to be read, of each machine.
        is_end: Whether all entries were read.
        outdated: At the end, the parts whose files have changed.
        is_outdated: At the end, whether there are such parts, or a machine without an open part.

    """

    unread: deque[tuple[Part, JournalReader, _Entries]]
    is_end: bool = False
    outdated: Sequence[Part] = ()
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """What was read in one slice of time.

    Attributes:
        count: How many entries.
        rejections: The entries that were rejected.
        behind_broken: When lines may have been lost because they followed a part of a broken line.
        observations: The observations from the other entries.
        newest_at: The latest read position of any machine's journal at the end of the slice; None if there is none.
        share: How many of the lines were understood.

    """

    count: int
    rejections: Sequence[Rejection]
    behind_broken: Sequence[Instant]
    observations: Sequence[LogObservation]
    newest_at: Instant | None
    share: Share


class Taker(Protocol):
    """Takes the results; called from the event loop."""

    def take(self, read: Slice) -> None:
        """Take the entries of one slice of time."""

    def take_states(self, states: Sequence[UnitState]) -> None:
        """Take what systemd reported about the units."""

    def take_gap(self, gap: Gap) -> None:
        """Take a gap."""

    def take_unheard(self, unheard: tuple[str, ...]) -> None:
        """Take one sentence for each configured unit or match without an entry."""


class JournalReading:
    """Reads the journal, in calls that each last a slice of time.

    Attributes:
        state: The source's state, in which to record how far back the journal reaches.
        found: The results to deliver, in order, including those of a call that was late.

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
            settings: Which journal, which units, and how their lines are read.
            state: The source's state, in which to record how far back the journal reaches.
            taker: Takes the results.
            lookback_us: How far back from the present to begin.
            states_us: How much further back than the rest the starts and stops of the unit are read.
            seen_until: Up to when an earlier process has read this journal; None if none has.
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
        self._is_polling_said = False
        self._ask_again_at = 0.0
        self._left: list[JournalReader] = []  # to be closed

    @property
    def parts(self) -> list[Part]:
        """The parts of the journal, whether or not they are open."""
        return list(self._parts.values())

    def begin(self, is_hinted: bool) -> Look:  # noqa: FBT001 - for a thread
        """Begin to read, for one slice of time; open the journal first if it is not open.

        Args:
            is_hinted: Whether something indicates new entries. Without a hint, entries that were not signalled are
                looked for as well.

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
            self._seek(parts)  # without a seek, an entry that was being written may be passed over
        return self.read_slice(_look_at(parts))

    def begin_with_new(self) -> Look:
        """Open the parts that are not open, and begin to read them."""
        return self.read_slice(_look_at(self._open()))

    def read_slice(self, look: Look) -> Look:
        """Read on for one slice of time; at the end, find out which parts are outdated."""
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
        """Detach the readers of some parts, for `close_left` to close; return whether there are any to close."""
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
        """Read on until a time of the monotonic clock; False if the end was reached."""
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
            # Entries before an error count as well, but only with a known cursor, or they would be counted twice.
            # Without a cursor the whole slice is read again.
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
        """Open the parts that are not open; return them."""
        now = self._clock()
        since = now - self._lookback_us
        self._files = MachineFiles(self._settings)  # for a file may have become damaged
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
        if is_polling and not self._is_polling_said:
            _log.warning("inotify instances used up (fs.inotify.max_user_instances), polling the journal")
        self._is_polling_said = is_polling
        return opened

    def _open_readers(self, files_of_each: dict[str, Files], since: Instant) -> list[OpenPart]:
        # The journal of a machine that appears later may never have been read.
        is_first = all(part.cursor is None for part in self._parts.values())
        seen_until = self._seen_until if is_first else None
        if is_first:
            self.state.read_since = since
        # A part is kept while it is gone, so that it is not read twice when it comes back.
        self._parts = {
            machine: part
            for machine, part in self._parts.items()
            if machine in files_of_each or part.reader is not None or (part.cursor and (part.seen_until or 0) >= since)
        }
        opened: list[OpenPart] = []
        for machine, files in files_of_each.items():
            part = self._parts.setdefault(machine, Part(seen_until=seen_until))
            if part.reader is None:
                # Kept in the part at once: if anything fails from here on, `_let_go` closes it.
                is_watching = sum(reader.fd is not None for _, reader in self.open_parts()) < WATCHED
                part.files, part.reader = files, JournalReader(self._settings, files, is_watching=is_watching)
                if part.cursor is None:
                    part.since = since
                opened.append((part, part.reader))
        return opened

    def _find_gaps(self, opened: Sequence[OpenPart], since: Instant) -> None:
        """Find the gaps: entries that were removed before they were read, and files that libsystemd does not read."""
        left_out = left_out_gaps(self._files, [reader for _, reader in opened])
        gaps = [gap for gap in left_out if gap.until >= since]
        for part, reader in opened:
            if part.cursor is not None:
                gaps += _removed(part.seen_until, [reader])
        if opened and len(opened) == len(self._parts) and all(part.cursor is None for part, _ in opened):
            # How far an earlier process has read each of them is not known: a machine may be new.
            gaps += _removed(self._seen_until, [reader for _, reader in opened])
        self.found += [partial(self._taker.take_gap, gap) for gap in gaps]

    def _note_extent(self, now: Instant) -> None:
        """Record how far back the journal reaches, and whether it has any entry of the receiver."""
        state, readers = self.state, [reader for _, reader in self.open_parts()]
        oldest_at = oldest_of(readers)
        # Only the begin at the first opening counts: entries that were removed after they were read are no loss.
        begins_at = now if oldest_at is None else min(oldest_at, now)
        if state.begins_at is None or begins_at < state.begins_at:
            state.begins_at = begins_at
        if self._states.latest is not None or any(reader.has_lines() for reader in readers):
            state.void_since = None
        elif state.void_since is None:
            state.void_since = now

    def _note_unheard(self) -> None:
        """Record which configured units and matches have no entry; a unit may be installed, or log its first line."""
        self._ask_again_at = time.monotonic() + _ASK_AGAIN
        unheard = unheard_in([reader for _, reader in self.open_parts()], self._settings)
        self.found.append(partial(self._taker.take_unheard, tuple(unheard)))

    def _read_latest_unit_messages(self, opened: Sequence[OpenPart], since: Instant) -> None:
        """Read systemd's latest messages about the units, in parts that are new."""
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
        """Read systemd's new messages about the units, and what new instances have logged up to the read position."""
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
        """Read what units have logged that were not known when these entries were read."""
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
        """Seek behind the entry that was read last, or to where reading begins."""
        for part, reader in parts:
            if part.cursor is None:
                reader.seek(part.since)
            else:
                reader.seek_cursor(part.cursor)


def _look_at(parts: Iterable[OpenPart]) -> Look:
    return Look(deque((part, reader, reader.read()) for part, reader in parts))


def _removed(seen_until: Instant | None, readers: Iterable[JournalReader]) -> list[Gap]:
    """Return the gap that is left by what was removed behind an instant, if anything was."""
    oldest_at = None if seen_until is None else oldest_of(readers)
    if seen_until is None or oldest_at is None or oldest_at <= seen_until:
        return []
    return [Gap(seen_until, oldest_at, REMOVED)]
