"""The sources that fill the fleet: opened, followed, and replaced when the configuration asks for other ones.

The index is read before the journal, at the start and whenever both are read anew: only the index tells who has
uploaded before, and so has a place in the journal's table that strangers cannot take.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import structlog

from fleet_health.detectors.spec import Lookback
from fleet_health.model.coverage import recent
from fleet_health.model.fleet import Fleet, Traffic, Uploads
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.observation import Upload
from fleet_health.model.places import LeftOut
from fleet_health.sources.index.source import IndexFollower
from fleet_health.sources.journal.source import JournalFollower

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from fleet_health.config.schema import IndexSettings, JournalSettings, Settings
    from fleet_health.model.counters import Counters
    from fleet_health.model.coverage import Coverage, Gap
    from fleet_health.model.instant import Instant
    from fleet_health.service.service_manager import Pulse
    from fleet_health.sources.follower import Follower
    from fleet_health.sources.state import SourceState

# Before an evaluation the sources are read once more; one that hangs must not keep the other's verdicts back.
_POLL_TIME = 5.0
_LOG_REJECTIONS_EVERY = 60.0
# Nor must an index that hangs keep the journal unread: it is waited for as long as it makes progress in such a time.
_PROGRESS_TIME = 5.0

_log = structlog.get_logger("fleet_health.service")


_Settings = TypeVar("_Settings")
_Table = TypeVar("_Table")


@dataclass(eq=False)
class _Source(Generic[_Settings, _Table]):
    """A follower, what it was opened for, and the table that it fills."""

    follower: Follower
    settings: _Settings
    lookback_us: int
    table: _Table
    task: asyncio.Task[Any] | None = None
    poll: asyncio.Task[None] | None = None


class Intake:
    """Feeds a fleet from the index and the journal."""

    def __init__(
        self,
        *,
        clock: Callable[[], Instant],
        start: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
        index_pulse: Pulse,
        journal_pulse: Pulse,
        counters: Counters,
    ) -> None:
        """Prepare to feed a fleet that is empty so far.

        Args:
            clock: Tells the present.
            start: Starts a task that ends the service if it fails.
            index_pulse: Where the index shows that it is alive.
            journal_pulse: Where the journal does.
            counters: Where both count.

        """
        self.fleet = Fleet()
        self._clock = clock
        self._start = start
        self._index_pulse = index_pulse
        self._journal_pulse = journal_pulse
        self._counters = counters
        self._index: _IndexSource | None = None
        self._journal: _JournalSource | None = None
        self._first: list[SourceState] = []
        self._silent_until = 0.0
        self._ignored = HostGlobs()
        self.journal_seen_until: Instant | None = None
        """Up to when the journal was read whole before this process; to be set before the first `adopt`."""
        self.journal_gaps: Sequence[Gap] = ()
        """What of it was never seen before this process; likewise."""
        self.known_uploads: Mapping[str, Instant] = {}
        """When each host had uploaded last by the same index, before this process; likewise."""
        self.horizon: Instant | None = None
        """Up to when our own records go: what is dated later comes from a clock that was wrong."""
        self.known_newcomers: Mapping[str, Instant] = {}
        """Which of them had turned up for the first time within the lookback, each with its first row; likewise."""
        self.known_left_out = LeftOut()
        """What a full table had left out by the same index; likewise."""
        self._is_held = False
        self._hold = asyncio.Lock()
        # A reload and a clock that is set may come together, and the later one must go on from what the other opened.
        self._opening = asyncio.Lock()
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []

    @property
    def states(self) -> list[SourceState]:
        """How well each source sees."""
        sources = [source for source in (self._index, self._journal) if source is not None]
        return [source.follower.state for source in sources] or self._first

    def known_coverage(self) -> tuple[Coverage, ...]:
        """What each source is known to have shown, between two evaluations."""
        return tuple(state.known_coverage() for state in self.states)

    def seen(self, now: Instant) -> frozenset[str]:
        """The sources of which everything up to an instant was seen, by name."""
        return frozenset(state.name for state in self.states if state.is_seen(now))

    def protect(self, hosts: Sequence[str], lost: frozenset[str]) -> None:
        """Record which hosts must keep their places, and which have uploaded long ago. See `Fleet.protect`."""

        def protect(_: None) -> None:
            self.fleet.lost = lost
            self.fleet.protect(hosts)

        self._unless_held(protect)(None)

    @asynccontextmanager
    async def prepared(self, settings: Settings, lookback: Lookback) -> AsyncIterator[PreparedSources]:
        """Open the sources that are new or must look further back, and read them to their end.

        A source that does not change goes on untouched, and the old one goes on until `switch`, which belongs into the
        context: until it ends, no other sources are opened.
        """
        async with self._opening:
            yield await self._prepare(settings, lookback)

    async def _prepare(self, settings: Settings, lookback: Lookback) -> PreparedSources:
        index, journal = self._index, self._journal
        self.fleet.register.expect(settings.expected)
        if settings.ignored.globs != self._ignored.globs:
            # Who is watched from now on was not taken in, and who is not stands in the tables.
            index = journal = None
        if index is None or index.settings != settings.index or index.lookback_us < lookback.uploads_us:
            index = self._open_index(settings.index, lookback.uploads_us, settings.host_limit, settings.ignored)
        if journal is None or journal.settings != settings.journal or journal.lookback_us < lookback.traffic_us:
            journal = self._open_journal(settings.journal, lookback, settings.host_limit, settings.ignored)
        await self._catch_up_with(index, journal)
        return PreparedSources(index, journal, lookback, settings.host_limit, settings.ignored)

    def switch(self, prepared: PreparedSources) -> Callable[[], Awaitable[None]]:
        """Go on with other sources, at once; return what closes the old ones."""
        old = self._switch(prepared.index, prepared.journal)
        self._ignored = prepared.ignored
        # Also where a source goes on untouched: what lies further back is forgotten from the next tick on.
        prepared.index.lookback_us, prepared.journal.lookback_us = (
            prepared.lookback.uploads_us,
            prepared.lookback.traffic_us,
        )
        self.fleet.limit_hosts(prepared.host_limit)
        return old

    def note_boot(self, booted_at: Instant, known_until: Instant | None) -> None:
        """Record when this machine booted: nobody could upload from when our own records end until then.

        A journal in another directory is that of another machine, or of the past.
        """
        journal = self._journal
        if known_until is not None and journal is not None and journal.settings.directory is None:
            self.fleet.shut_down(known_until, booted_at)

    async def adopt(self, settings: Settings, lookback: Lookback) -> None:
        """Prepare other sources, and switch to them."""
        async with self.prepared(settings, lookback) as sources:
            close_old = self.switch(sources)
        await close_old()

    async def reread(self, gap: Gap) -> None:
        """Read everything anew, as at the start, and forget what was read before, but not what was never seen.

        Args:
            gap: The stretch of time that the clock left out or shows twice. Counts of the journal's entries over it
                prove nothing, so it is one more of the journal's gaps.

        """
        async with self._opening:
            await self._reread(gap)

    async def _reread(self, gap: Gap) -> None:
        if self._index is not None and self._journal is not None:
            limit, known = self.fleet.uploads.limit, self._journal.follower.state.gaps
            index = self._open_index(self._index.settings, self._index.lookback_us, limit, self._ignored)
            lookback = Lookback(self._index.lookback_us, self._journal.lookback_us)
            journal = self._open_journal(self._journal.settings, lookback, limit, self._ignored)
            await self._catch_up_with(index, journal)
            await self._switch(index, journal)()
            state = journal.follower.state
            found_again = state.gaps
            state.gaps = []
            for one in sorted({*known, *found_again, gap}, key=lambda gap: gap.since):
                state.lack(one, gap.until - journal.lookback_us)

    async def _catch_up_with(self, index: _IndexSource, journal: _JournalSource) -> None:
        """Read those of the sources that are new to their end."""
        sources: tuple[_AnySource, ...] = (index, journal)
        self._first = [source.follower.state for source in sources]
        register, fleet = self.fleet.register, self.fleet
        # Whoever is known by the old index stays known until the new one is read.
        register.uploads = (index.table.last_at, fleet.uploads.last_at)
        register.audience = (journal.table.admit, fleet.traffic.admit)
        await self._catch_up(index, journal)

    def _switch(self, index: _IndexSource, journal: _JournalSource) -> Callable[[], Awaitable[None]]:
        """Go on with these sources. Nothing here waits, reads or fails."""
        sources: tuple[_AnySource, ...] = (index, journal)
        register = self.fleet.register
        old = [source for source in (self._index, self._journal) if source is not None and source not in sources]
        self._index, self._journal = index, journal
        index.table.notes_newcomers = True
        self.fleet.uploads, self.fleet.traffic = index.table, journal.table
        register.uploads, register.audience = (index.table.last_at,), (journal.table.admit,)
        for source in sources:
            if source.task is None:
                source.task = self._start(source.follower.follow())

        async def close_old() -> None:
            await asyncio.gather(*(_end(source) for source in old))

        return close_old

    async def _catch_up(self, index: _IndexSource, journal: _JournalSource) -> None:
        """Read those sources to their end that are not followed yet, the index first if it can be read."""
        polls = []
        if index.task is None:
            polls.append(asyncio.ensure_future(index.follower.poll()))
            read_before = -1
            while not polls[0].done() and (read := index.follower.state.read) > read_before:
                read_before = read
                await asyncio.wait(polls, timeout=_PROGRESS_TIME)
        if journal.task is None:
            polls.append(asyncio.ensure_future(journal.follower.poll()))
        try:
            await asyncio.gather(*polls)
        finally:
            for poll in polls:
                poll.cancel()

    def log_rejections(self) -> None:
        """Return what could not be read, at most once a minute."""
        if time.monotonic() < self._silent_until:
            return
        self._silent_until = time.monotonic() + _LOG_REJECTIONS_EVERY
        for state in self.states:
            for reason, count, latest in state.rejections.news():
                _log.warning("lines rejected", source=state.name, reason=reason, count=count, latest=latest)

    async def poll(self) -> None:
        """Read what has come in since the last look."""
        polls = []
        sources: tuple[_AnySource | None, ...] = (self._index, self._journal)
        for source in sources:
            if source is not None:
                if source.poll is None or source.poll.done():
                    source.poll = self._start(source.follower.poll())
                polls.append(source.poll)
        if polls:
            # A late one is left to itself: what it has read must not be lost.
            await asyncio.wait(polls, timeout=_POLL_TIME)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Fleet]:
        """Return the fleet to another thread: it stands still, and what is delivered meanwhile is taken in afterwards.

        One has it at a time, for it may make the fleet forget what is too long ago.
        """
        async with self._hold:
            self._is_held = True
            try:
                yield copy(self.fleet)  # a reload may exchange its tables
            finally:
                self._is_held = False
                for record, observations in self._waiting:
                    record(observations)
                self._waiting.clear()

    def _unless_held(self, record: Callable[[Any], None]) -> Callable[[Any], None]:
        def deliver(observations: Any) -> None:
            if self._is_held:
                self._waiting.append((record, observations))
            else:
                record(observations)

        return deliver

    def _open_index(
        self, settings: IndexSettings, lookback_us: int, host_limit: int, ignored: HostGlobs
    ) -> _IndexSource:
        table, now = Uploads(host_limit, ignored, self.fleet.register), self._clock()
        latest = now if self.horizon is None else max(now, self.horizon)
        known: Iterable[tuple[str, Instant]] = ()
        newcomers: Mapping[str, Instant] = {}
        if self._index is None:
            known, newcomers, table.left_out = self.known_uploads.items(), self.known_newcomers, self.known_left_out
        elif self._index.settings == settings:
            uploads = self.fleet.uploads
            known, newcomers, table.left_out = uploads.items(), uploads.newcomers, uploads.left_out
        # A last upload is a maximum, so what is known may stand under the rows that are there. It also comes from files
        # that have been compressed or removed since. What is dated ahead comes from a clock that was wrong; what is too
        # long ago to be evaluated by is missed at the next evaluation.
        table.record(Upload(host, at) for host, at in known if at <= latest)
        table.newcomers = {host: at for host, at in newcomers.items() if table.last_at(host) is not None}
        table.established = frozenset(host for host, at in known if at > latest and host not in newcomers)
        # Whoever is in the index of the first start may have been there for long.
        table.notes_newcomers = table.newest_at() is not None
        deliver = self._unless_held(table.record)
        follower = IndexFollower(settings, lookback_us=lookback_us, deliver=deliver, clock=self._clock)
        return _Source(self._pulsing(follower, self._index_pulse), settings, lookback_us, table)

    def _open_journal(
        self, settings: JournalSettings, lookback: Lookback, host_limit: int, ignored: HostGlobs
    ) -> _JournalSource:
        lookback_us = lookback.traffic_us
        table = Traffic(host_limit, ignored, self.fleet.register)
        if self._journal is None:
            table.unit_history.seen_until = self.journal_seen_until or 0
        elif self._journal.settings == settings:
            table.adopt_unit(self.fleet.traffic)
        deliver = self._unless_held(table.record)
        follower = JournalFollower(
            settings,
            lookback_us=lookback_us,
            deliver=deliver,
            clock=self._clock,
            seen_until=self.journal_seen_until if self._journal is None else None,
            # A host's absence is known as far back as its uploads, and so must be when it could not upload.
            states_us=max(0, lookback.uploads_us - lookback_us),
        )
        if self._journal is None:
            follower.state.gaps = recent(self.journal_gaps, self._clock() - lookback_us, lookback_us)
        return _Source(self._pulsing(follower, self._journal_pulse), settings, lookback_us, table)

    def _pulsing(self, follower: Follower, pulse: Pulse) -> Follower:
        follower.on_progress = lambda: pulse.beat(follower.rest)
        follower.counters = self._counters
        return follower


_IndexSource: TypeAlias = _Source["IndexSettings", Uploads]
_JournalSource: TypeAlias = _Source["JournalSettings", Traffic]
_AnySource: TypeAlias = _Source[Any, Any]


@dataclass(frozen=True, slots=True)
class PreparedSources:
    """Sources that have been read to their end, and can take the place of others at once.

    Attributes:
        index: The index.
        journal: The journal.
        lookback: How far back both are to be known.
        host_limit: How many hosts are watched.
        ignored: The hosts that are left out.

    """

    index: _IndexSource
    journal: _JournalSource
    lookback: Lookback
    host_limit: int
    ignored: HostGlobs


async def _end(source: _AnySource) -> None:
    tasks = [task for task in (source.task, source.poll) if task is not None]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    await source.follower.close()
