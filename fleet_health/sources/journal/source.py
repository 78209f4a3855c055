"""Following the receiver's journal, in slices of time: each in a thread, for the journal's disk may hang.

libsystemd lets one thread at a time use a reader. So whatever touches one goes through `_call`, which begins no call
before the last one has returned. What such a call finds out, it leaves in `_found`, for the loop to take in.

Each machine whose journal is in a directory has a reader and a place of its own, and they are read one after another.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import structlog

from fleet_health.errors import PathHangs
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.coverage import BROKEN, REMOVED, Gap, Share
from fleet_health.model.instant import isoformat
from fleet_health.model.subject import named
from fleet_health.model.unit_states import UnitStates
from fleet_health.sources.follower import Follower
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
from fleet_health.sources.state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.model.unit_states import UnitMessage
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection

# What is read is taken in as often as this, however long the backlog.
_SLICE = 0.01
# How often, in seconds, it is looked up whether there is anything by now of what is configured and was not found.
_ASK_AGAIN = 2.0
# Named where the configuration names no directory.
_JOURNAL = Path("/var/log/journal")

T = TypeVar("T")
_Entries: TypeAlias = "Iterator[tuple[bytes | None, Instant]]"

_log = structlog.get_logger("fleet_health.sources")


@dataclass(slots=True, eq=False)
class _Part:
    """The journal of one machine, and how far it has been read.

    Attributes:
        files: What the reader was opened on.
        reader: Its reader; None while it is not open.
        cursor: The entry that was read last; None if none was.
        since: Where reading is to begin, as long as none was.
        seen_until: Up to when it was read, also by an earlier process; None if that is not known.
        units: The units whose lines are read.
        after_unit_message: Behind which cursor, or from when on, what systemd reports is to be read; 0 at first.

    """

    files: Files = None
    reader: JournalReader | None = None
    cursor: str | None = None
    since: Instant = 0
    seen_until: Instant | None = None
    units: set[str] = field(default_factory=set)
    after_unit_message: Instant | str = 0


_OpenPart: TypeAlias = tuple[_Part, JournalReader]


@dataclass(slots=True)
class _Look:
    """A look at the journal, from where it was read to up to the present end.

    Attributes:
        unread: What is still to be read, of each machine.
        is_end: Whether that is nothing.
        outdated: At the end, the parts whose files are others by now.
        is_outdated: At the end, whether there are such, or there is a machine of which nothing is open.

    """

    unread: deque[tuple[_Part, JournalReader, _Entries]]
    is_end: bool = False
    outdated: Sequence[_Part] = ()
    is_outdated: bool = False


class JournalFollower(Follower):
    """Follows the lines of the receiver's units and the messages about these, and hands on what they report."""

    longest_wait = 60.0  # entries can be readable without a sign from the descriptor; every evaluation looks

    def __init__(
        self,
        settings: JournalSettings,
        *,
        lookback_us: int,
        deliver: Callable[[Iterable[LogObservation | UnitState]], None],
        clock: Callable[[], Instant],
        seen_until: Instant | None = None,
        states_us: int = 0,
        receiver: str = "",
    ) -> None:
        """Prepare to follow.

        Args:
            settings: Which journal, which units, and how their lines are read.
            lookback_us: How far back from the present to begin.
            deliver: Takes the observations.
            clock: Returns the present.
            seen_until: Up to when an earlier process has read this journal; None if none has.
            states_us: How much further back than the rest the starts and stops of the unit are read.
            receiver: The name of the receiver, if there are several.

        """
        super().__init__(named("journal", receiver), clock)
        self.state.window_us = lookback_us
        self._settings = settings
        self._lookback_us = lookback_us
        self._states_us = states_us
        self._deliver = deliver
        self._parser = log_parser(settings)
        self._parse_into = self._parser.parse_into
        self._files = MachineFiles(settings)
        self._parts: dict[str, _Part] = {}  # by machine id
        self._seen_until = seen_until
        self._states = UnitStates()
        self._is_polling_said = False
        self._ask_again_at = 0.0
        # What is to be taken in, in order; also of a call that was late.
        self._found: deque[Callable[[], None]] = deque()
        self._left: list[JournalReader] = []  # to be closed
        self._is_closed = False

    async def _read_to_end(self, *, is_hinted: bool) -> None:
        self._is_closed = False
        look = await self._drain(await self._call(self._begin, is_hinted))
        if look.is_outdated:
            await self._let_go(look.outdated)
            await self._drain(await self._call(self._begin_with_new))

    def _begin(self, is_hinted: bool) -> _Look:  # noqa: FBT001 - for a thread
        if not self._open_parts():
            self._open()
        parts = self._open_parts()
        for _, reader in parts:
            reader.process()
        if self.state.unheard and not is_hinted and time.monotonic() >= self._ask_again_at:
            self._note_unheard()
        if not is_hinted:
            self._read_unit_messages(parts)
            self._seek(parts)  # without a seek, an entry that was being written may be passed over
        return self._read_slice(_look_at(parts))

    def _begin_with_new(self) -> _Look:
        return self._read_slice(_look_at(self._open()))

    async def _drain(self, look: _Look) -> _Look:
        while not look.is_end:
            self._progress()
            await self._call(self._read_slice, look)
        return look

    def _open_parts(self) -> list[_OpenPart]:
        """Return the parts that are open, with their readers."""
        return [(part, part.reader) for part in list(self._parts.values()) if part.reader is not None]

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what touches the reader in a thread, and take in what it has found."""

        def call() -> T:
            try:
                return function(*arguments)
            finally:
                # What was let go while this call hung, and what it has opened that nobody wants any more.
                if self._is_closed:
                    self._leave(list(self._parts.values()))
                self._close_left()

        try:
            return await call_at(self._settings.directory or _JOURNAL, call)
        finally:
            while self._found:
                self._found.popleft()()

    def _read_slice(self, look: _Look) -> _Look:
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

    def _read_part(self, part: _Part, reader: JournalReader, entries: _Entries, until: float) -> bool:
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
                        self._found.append(partial(self._lack, gap))
                else:
                    self._parse_into(observations, rejections, message, at)
                last_at = at
                if time.monotonic() > until:
                    return True
            return False
        finally:
            # Also when the reader failed: what came before is good. But only together with the place behind it, or
            # it would be read and counted again; if that cannot be had, all of the slice is read again instead.
            if count:
                part.cursor = reader.cursor()
                part.seen_until = last_at  # in the order of reading, which is that of writing
                share = share_of(self._parser, missed_before, observations)
                newest_at = self._newest_at()
                take_in = partial(self._take_in, count, rejections, behind_broken, observations, newest_at, share)
                self._found.append(take_in)

    def _newest_at(self) -> Instant | None:
        """Return the latest instant up to which any machine's journal was read; None if none was."""
        read = [part.seen_until for part in self._parts.values() if part.cursor is not None]
        return max((at for at in read if at is not None), default=None)

    def _take_in(  # noqa: PLR0917 - all that a slice gives
        self,
        count: int,
        rejections: Sequence[Rejection],
        behind_broken: Sequence[Instant],
        observations: Sequence[LogObservation],
        newest_at: Instant | None,
        share: Share,
    ) -> None:
        self._count(count, rejections)
        self.state.note(share)
        self._lack_behind_broken(behind_broken)
        self.state.newest_at = newest_at
        if count:
            self.state.void_since = None
        self._deliver(observations)

    def _take_in_states(self, states: Sequence[UnitState]) -> None:
        self.state.void_since = None
        self._deliver(states)

    def _lack(self, gap: Gap) -> None:
        """Record a gap."""
        self.counters.gaps[self.state.name] += 1
        _log.warning(
            "gap in the journal",
            since=isoformat(gap.since),
            until=isoformat(gap.until),
            reason=gap.reason,
            messages=gap.messages or None,
        )
        self.state.lack(gap, self._clock() - self._lookback_us)

    def _lack_behind_broken(self, instants: Sequence[Instant]) -> None:
        """Record lines that may be missing. Not logged: a client can make as many as it likes."""
        if instants:
            gap = Gap(min(instants), max(instants), BROKEN, len(instants))
            self.state.lack(gap, self._clock() - self._lookback_us)

    def _open(self) -> list[_OpenPart]:
        """Open the parts that are there and not open; return them."""
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
        self._seek(self._open_parts())
        readers = [reader for _, reader in self._open_parts()]
        is_polling = bool(readers) and all(reader.fd is None for reader in readers)
        if is_polling and not self._is_polling_said:
            _log.warning("inotify instances used up (fs.inotify.max_user_instances), polling the journal")
        self._is_polling_said = is_polling
        return opened

    def _open_readers(self, files_of_each: dict[str, Files], since: Instant) -> list[_OpenPart]:
        # Of a machine that comes later it is not known that its journal was ever read.
        is_first = all(part.cursor is None for part in self._parts.values())
        seen_until = self._seen_until if is_first else None
        if is_first:
            self.state.read_since = since
        # What has been gone for so long is not read twice when it comes back.
        self._parts = {
            machine: part
            for machine, part in self._parts.items()
            if machine in files_of_each or part.reader is not None or (part.cursor and (part.seen_until or 0) >= since)
        }
        opened: list[_OpenPart] = []
        for machine, files in files_of_each.items():
            part = self._parts.setdefault(machine, _Part(seen_until=seen_until))
            if part.reader is None:
                # Ours from the first: if anything fails from here on, `_let_go` closes it.
                is_watching = sum(reader.fd is not None for _, reader in self._open_parts()) < WATCHED
                part.files, part.reader = files, JournalReader(self._settings, files, is_watching=is_watching)
                if part.cursor is None:
                    part.since = since
                opened.append((part, part.reader))
        return opened

    def _find_gaps(self, opened: Sequence[_OpenPart], since: Instant) -> None:
        """Find out what was removed before it was read, and what libsystemd does not read."""
        left_out = left_out_gaps(self._files, [reader for _, reader in opened])
        gaps = [gap for gap in left_out if gap.until >= since]
        for part, reader in opened:
            if part.cursor is not None:
                gaps += _removed(part.seen_until, [reader])
        if opened and len(opened) == len(self._parts) and all(part.cursor is None for part, _ in opened):
            # Up to when an earlier process has read each of them is not known: a machine may be new.
            gaps += _removed(self._seen_until, [reader for _, reader in opened])
        self._found += [partial(self._lack, gap) for gap in gaps]

    def _note_extent(self, now: Instant) -> None:
        """Note how far back the journal reaches, and whether it holds anything of the receiver at all."""
        state, readers = self.state, [reader for _, reader in self._open_parts()]
        oldest_at = oldest_of(readers)
        # What began later when it was opened first was missed; that it is removed since, after it was read, is no flaw.
        begins_at = now if oldest_at is None else min(oldest_at, now)
        if state.begins_at is None or begins_at < state.begins_at:
            state.begins_at = begins_at
        if self._states.latest is not None or any(reader.has_lines() for reader in readers):
            state.void_since = None
        elif state.void_since is None:
            state.void_since = now

    def _note_unheard(self) -> None:
        """Note what of the settings the journal has no entry of; a unit may be installed, or log its first line."""
        self._ask_again_at = time.monotonic() + _ASK_AGAIN
        unheard = unheard_in([reader for _, reader in self._open_parts()], self._settings)
        self._found.append(partial(self._take_in_unheard, tuple(unheard)))

    def _take_in_unheard(self, unheard: tuple[str, ...]) -> None:
        if unheard != self.state.unheard:
            for sentence in unheard:
                _log.error("receiver not found in the journal", source=self.state.name, reason=sentence)
        self.state.unheard = unheard

    def _read_latest_unit_messages(self, opened: Sequence[_OpenPart], since: Instant) -> None:
        """Read what systemd reported last on the units of parts that are new."""
        new = [(part, reader) for part, reader in opened if not part.after_unit_message]
        known = self._states.latest
        for message in in_time(reader.latest_unit_messages(since) for _, reader in new):
            self._states.record(message)
        for part, _ in new:
            part.after_unit_message = since
        if self._states.latest is not None and self._states.latest != known:
            self._found.append(partial(self._take_in_states, [self._states.latest]))
        for _, reader in opened:
            self._states.expect(reader.active)

    def _read_unit_messages(self, parts: Sequence[_OpenPart]) -> None:
        """Read on what systemd reports on the units, and what instances that are new have logged up to our place."""
        messages_of_each = [self._new_unit_messages(part, reader) for part, reader in parts]
        changes = [state for one in in_time(messages_of_each) if (state := self._states.record(one)) is not None]
        if changes:
            self._found.append(partial(self._take_in_states, changes))

    def _new_unit_messages(self, part: _Part, reader: JournalReader) -> list[UnitMessage]:
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
        self._found.append(partial(self._take_in, count, rejections, (), observations, self._newest_at(), share))

    @staticmethod
    def _seek(parts: Iterable[_OpenPart]) -> None:
        """Go behind the entry that was read last; to where reading is to begin if there is none yet."""
        for part, reader in parts:
            if part.cursor is None:
                reader.seek(part.since)
            else:
                reader.seek_cursor(part.cursor)

    async def _has_hint(self) -> bool:
        async with self._turn:  # while nobody else uses them
            if self.state.phase is not Phase.FOLLOWING:
                return False
            watched = [(part, reader, reader.fd) for part, reader in self._open_parts() if reader.fd is not None]
            timeouts = [timeout for _, reader, _ in watched if (timeout := reader.timeout()) is not None]
        if not watched:
            await asyncio.sleep(self.longest_wait)
            return False
        loop, hint = asyncio.get_running_loop(), asyncio.Event()
        # Watched only while we wait: a descriptor becomes readable whenever any unit logs anything.
        for _, _, fd in watched:
            loop.add_reader(fd, hint.set)
        try:
            async with asyncio.timeout(min([self.longest_wait, *timeouts])):
                await hint.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            for part, reader, fd in watched:
                if reader is part.reader:  # else it was closed meanwhile, and its descriptor may be somebody else's
                    loop.remove_reader(fd)

    async def close(self) -> None:
        """Close the journal."""
        self._is_closed = True
        await self._let_go()

    async def _let_go(self, parts: Collection[_Part] | None = None) -> None:
        going = list(self._parts.values()) if parts is None else parts
        # In this order: the loop must never watch a descriptor that is closed.
        for part in going:
            if part.reader is not None and part.reader.fd is not None:
                asyncio.get_running_loop().remove_reader(part.reader.fd)
        if self._leave(going):
            with suppress(PathHangs):  # then that call closes them
                await self._call(self._close_left)

    def _leave(self, parts: Iterable[_Part]) -> bool:
        """Leave the readers of some parts to be closed; return whether there are any."""
        for part in parts:
            if part.reader is not None:
                self._left.append(part.reader)
                part.reader = None
        return bool(self._left)

    def _close_left(self) -> None:
        while self._left:
            self._left.pop().close()


def _look_at(parts: Iterable[_OpenPart]) -> _Look:
    return _Look(deque((part, reader, reader.read()) for part, reader in parts))


def _removed(seen_until: Instant | None, readers: Iterable[JournalReader]) -> list[Gap]:
    """Return the gap that is left by what was removed behind an instant, if anything was."""
    oldest_at = None if seen_until is None else oldest_of(readers)
    if seen_until is None or oldest_at is None or oldest_at <= seen_until:
        return []
    return [Gap(seen_until, oldest_at, REMOVED)]
