"""Following the receiver's journal, in slices of time: each in a thread, for the journal's disk may hang.

libsystemd lets one thread at a time use a reader. So whatever touches one goes through `_call`, which begins no call
before the last one has returned. What such a call finds out, it leaves in `_found`, for the loop to take in.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from fleet_health.errors import PathHangs
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.coverage import BROKEN, REMOVED, Gap, Share
from fleet_health.model.instant import isoformat
from fleet_health.model.subject import named
from fleet_health.model.unit_states import UnitStates
from fleet_health.sources.follower import Follower
from fleet_health.sources.journal.lines import left_out_gaps, log_parser, lost_behind_broken, share_of
from fleet_health.sources.journal.matches import instances
from fleet_health.sources.journal.reader import JournalReader
from fleet_health.sources.journal.system_messages import SUPPRESSED_WORD, suppressed_gap
from fleet_health.sources.state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection

# What is read is taken in as often as this, however long the backlog.
_SLICE = 0.01
# How often, in seconds, it is looked up whether there is anything by now of what is configured and was not found.
_ASK_AGAIN = 2.0
# Named where the configuration names no directory.
_JOURNAL = Path("/var/log/journal")

T = TypeVar("T")

_log = structlog.get_logger("fleet_health.sources")


class JournalFollower(Follower):
    """Follows the lines of the receiver's units and the messages about these, and hands on what they report."""

    longest_wait = 5.0  # entries can be readable without a sign from the descriptor

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
            clock: Tells the present.
            seen_until: Up to when this journal was read before, by somebody who has ended; None if it never was.
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
        self._reader: JournalReader | None = None
        self._cursor: str | None = None
        self._since: Instant = 0
        self._seen_until = seen_until
        self._states = UnitStates()
        self._units: set[str] = set()
        self._after_unit_message: Instant | str = 0
        self._is_polling_said = False
        self._ask_again_at = 0.0
        # What is to be taken in, in order; also of a call that was late.
        self._found: deque[Callable[[], None]] = deque()
        self._left: list[JournalReader] = []  # to be closed
        self._is_closed = False

    async def _read_to_end(self, *, is_hinted: bool) -> None:
        self._is_closed = False
        reader = await self._call(self._begin, is_hinted)
        await self._drain(reader)
        if await self._call(reader.is_outdated):
            await self._let_go()
            await self._drain(await self._call(self._open))

    def _begin(self, is_hinted: bool) -> JournalReader:  # noqa: FBT001 - for a thread
        reader = self._reader or self._open()
        reader.process()
        if self.state.unheard and not is_hinted and time.monotonic() >= self._ask_again_at:
            self._note_unheard(reader)
        if not is_hinted:
            self._read_unit_messages(reader)
            self._seek(reader)  # who reads on from where he is may have passed over an entry that was being written
        return reader

    async def _drain(self, reader: JournalReader) -> None:
        entries = reader.read()
        while await self._call(self._read_slice, reader, entries):
            self._progress()

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what touches the reader in a thread, and take in what it has found."""

        def call() -> T:
            try:
                return function(*arguments)
            finally:
                # What was let go while this call hung, and what it has opened that nobody wants any more.
                if self._is_closed and self._reader is not None:
                    self._left.append(self._reader)
                    self._reader = None
                self._close_left()

        try:
            return await call_at(self._settings.directory or _JOURNAL, call)
        finally:
            while self._found:
                self._found.popleft()()

    def _read_slice(self, reader: JournalReader, entries: Iterator[tuple[bytes | None, Instant]]) -> bool:
        """Read on for one slice of time; False if the end was reached."""
        until = time.monotonic() + _SLICE
        observations: list[LogObservation] = []
        rejections: list[Rejection] = []
        behind_broken: list[Instant] = []
        missed_before = self._parser.missed
        count, last_at = 0, self._seen_until
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
                self._cursor = reader.cursor()
                self._seen_until = last_at  # in the order of reading, which is that of writing
                share = share_of(self._parser, missed_before, observations)
                take_in = partial(self._take_in, count, rejections, behind_broken, observations, last_at, share)
                self._found.append(take_in)

    def _take_in(  # noqa: PLR0917 - all that a slice gives
        self,
        count: int,
        rejections: Sequence[Rejection],
        behind_broken: Sequence[Instant],
        observations: Sequence[LogObservation],
        last_at: Instant | None,
        share: Share,
    ) -> None:
        self._count(count, rejections)
        self.state.note(share)
        self._lack_behind_broken(behind_broken)
        self.state.newest_at = last_at
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

    def _open(self) -> JournalReader:
        # Ours from the first: if anything fails from here on, `_let_go` closes it.
        reader = self._reader = JournalReader(self._settings)
        now = self._clock()
        since = now - self._lookback_us
        self._find_gaps(reader, since)
        reader.find_instances(since)
        is_first = self._cursor is None
        if is_first:
            self._since = self.state.read_since = since
        if not self._after_unit_message:
            states_since = since - self._states_us
            for message in reader.latest_unit_messages(states_since):
                self._states.record(message)
            self._after_unit_message = states_since
            if self._states.latest is not None:
                self._found.append(partial(self._take_in_states, [self._states.latest]))
        self._states.expect(reader.active)
        self._note_unheard(reader)
        if is_first:
            self._note_extent(reader, now)
        self._read_unit_messages(reader)
        self._seek(reader)
        if reader.fd is None and not self._is_polling_said:
            _log.warning("inotify instances used up (fs.inotify.max_user_instances), polling the journal")
        self._is_polling_said = reader.fd is None
        return reader

    def _find_gaps(self, reader: JournalReader, since: Instant) -> None:
        """Find out what was removed before it was read, and what libsystemd does not read."""
        gaps = [gap for gap in left_out_gaps(reader) if gap.until >= since]
        if self._seen_until is not None:
            oldest_at = reader.oldest_at()
            if oldest_at is not None and oldest_at > self._seen_until:
                gaps.append(Gap(self._seen_until, oldest_at, REMOVED))
        self._found += [partial(self._lack, gap) for gap in gaps]

    def _note_extent(self, reader: JournalReader, now: Instant) -> None:
        """Note how far back the journal reaches, and whether it holds anything of the receiver at all."""
        state, oldest_at = self.state, reader.oldest_at()
        # What began later when it was opened first was missed; that it is removed since, after it was read, is no flaw.
        begins_at = now if oldest_at is None else min(oldest_at, now)
        if state.begins_at is None or begins_at < state.begins_at:
            state.begins_at = begins_at
        if self._states.latest is not None or reader.has_lines():
            state.void_since = None
        elif state.void_since is None:
            state.void_since = now

    def _note_unheard(self, reader: JournalReader) -> None:
        """Note what of the settings the journal has no entry of; a unit may be installed, or log its first line."""
        self._ask_again_at = time.monotonic() + _ASK_AGAIN
        self._found.append(partial(self._take_in_unheard, tuple(reader.unheard())))

    def _take_in_unheard(self, unheard: tuple[str, ...]) -> None:
        if unheard != self.state.unheard:
            for sentence in unheard:
                _log.error("receiver not found in the journal", source=self.state.name, reason=sentence)
        self.state.unheard = unheard

    def _read_unit_messages(self, reader: JournalReader) -> None:
        """Read on what systemd reports on the units, and what instances that are new have logged up to our place."""
        messages, cursor = reader.unit_messages(self._after_unit_message)
        self._after_unit_message = cursor or self._after_unit_message
        changes = [state for message in messages if (state := self._states.record(message)) is not None]
        if changes:
            self._found.append(partial(self._take_in_states, changes))
        found = {*reader.units, *instances(self._settings, (message.unit for message in messages))}
        if new := found - self._units:
            if self._cursor is not None and self._seen_until is not None:
                self._read_missed(reader, new, self._seen_until)
            self._units |= new
        reader.add_units(self._units)

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
        self._found.append(partial(self._take_in, count, rejections, (), observations, until, share))

    def _seek(self, reader: JournalReader) -> None:
        """Go behind the entry that was read last; to where reading is to begin if there is none yet."""
        if self._cursor is None:
            reader.seek(self._since)
        else:
            reader.seek_cursor(self._cursor)

    async def _has_hint(self) -> bool:
        async with self._turn:  # while nobody else uses it
            reader = self._reader
            if reader is None or self.state.phase is not Phase.FOLLOWING:
                return False
            timeout = reader.timeout()
        if reader.fd is None:
            await asyncio.sleep(self.longest_wait)
            return False
        loop, hint = asyncio.get_running_loop(), asyncio.Event()
        # Watched only while we wait: the descriptor becomes readable whenever any unit logs anything.
        loop.add_reader(reader.fd, hint.set)
        try:
            async with asyncio.timeout(self.longest_wait if timeout is None else min(timeout, self.longest_wait)):
                await hint.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            if reader is self._reader:  # else it was closed meanwhile, and its descriptor may be somebody else's
                loop.remove_reader(reader.fd)

    async def close(self) -> None:
        """Close the journal."""
        self._is_closed = True
        await self._let_go()

    async def _let_go(self) -> None:
        reader = self._reader
        if reader is not None:
            # In this order: the loop must never watch a descriptor that is closed.
            if reader.fd is not None:
                asyncio.get_running_loop().remove_reader(reader.fd)
            self._reader = None
            self._left.append(reader)
            with suppress(PathHangs):  # then that call closes it
                await self._call(self._close_left)

    def _close_left(self) -> None:
        while self._left:
            self._left.pop().close()
