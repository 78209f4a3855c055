"""The intake, which opens, follows and replaces the sources that fill the fleet.

The index is read before the journal, at the start and whenever both are read again. Only the index shows which hosts
have uploaded before, and their places in the table of the journal must be protected from unknown names.

Each receiver has both sources. All sources of a kind fill one table of the fleet. So if one of them must be opened
again, all of them are.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from fleet_health.detectors.spec import Lookback
from fleet_health.engine import seen_sources
from fleet_health.model.fleet import Tables
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.subject import general, named
from fleet_health.service.fleet_gate import FleetGate
from fleet_health.service.opening import SourceOpener
from fleet_health.service.receiver_sources import PreparedSources, Wanted, all_of, end, identities_of, read_by
from fleet_health.sources.journal.matches import unmatched_in_words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from fleet_health.config.schema import Settings
    from fleet_health.model.counters import Counters
    from fleet_health.model.coverage import Coverage, Gap
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.row_dates import AheadRow
    from fleet_health.service.receiver_sources import AnySource, IndexSources, JournalSources, KnownPast
    from fleet_health.service.service_manager import Pulse
    from fleet_health.sources.state import SourceState

# How many seconds an evaluation waits for the sources, because one of them may hang.
_POLL_TIME = 5.0
_LOG_REJECTIONS_EVERY = 60.0
# If an index makes no progress for so many seconds, the journal is read without waiting for it any longer.
_PROGRESS_TIME = 5.0

_log = structlog.get_logger("fleet_health.service")


class Intake:
    """Feeds a fleet from the index and the journal of each receiver."""

    def __init__(
        self,
        *,
        clock: Callable[[], Instant],
        start: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
        index_pulse: Pulse,
        journal_pulse: Pulse,
        counters: Counters,
    ) -> None:
        """Prepare to feed a fleet that is empty at first.

        Args:
            clock: Returns the present.
            start: Starts a task; if the task fails, the service ends.
            index_pulse: Beats when an index makes progress.
            journal_pulse: Beats when a journal makes progress.
            counters: The counters of the service.

        """
        self._clock = clock
        self._start = start
        self._gate = FleetGate()
        self._opener = SourceOpener(
            self._gate, clock=clock, index_pulse=index_pulse, journal_pulse=journal_pulse, counters=counters
        )
        self._index: IndexSources | None = None
        self._journal: JournalSources | None = None
        self._first: list[SourceState] = []
        self._rejections_logged_until = 0.0
        self._ignored = HostGlobs()
        self._identities: Mapping[str, Collection[str]] = {}
        # Held while sources are opened and replaced: a reload and a step of the clock may coincide.
        self._opening = asyncio.Lock()

    @property
    def fleet(self) -> Fleet:
        """The fleet."""
        return self._gate.fleet

    @property
    def known(self) -> KnownPast:
        """The facts about the sources from the saved state."""
        return self._opener.known

    @property
    def disproved_until(self) -> Instant:
        """Entries ahead of the clock are dropped up to this instant, because a wrong clock dated them."""
        return self._opener.disproved_until

    async def start(self, settings: Settings, lookback: Lookback, known: KnownPast) -> None:
        """Open the sources of some settings for the first time, and read them to their end.

        Args:
            settings: The settings.
            lookback: How far back the sources are read.
            known: The facts about them from the saved state.

        """
        self._opener.known = known
        self.distrust(after=known.latest_at, until=known.disproved_until)
        self._identities = known.identities
        self.fleet.exchanged = dict(known.exchanged)
        self.fleet.skips, self.fleet.shutdowns = tuple(known.skips), tuple(known.shutdowns)
        # Before the sources are read: the journal may contain a flood of invented names.
        self.protect(known.protected, known.lost)
        await self.adopt(settings, lookback)

    def distrust(self, *, after: Instant | None, until: Instant) -> None:
        """Set which dates come from a wrong clock.

        Args:
            after: The latest instant of our own records; None if there are none. See `KnownPast.latest_at`.
            until: The instant up to which entries ahead of the clock are dropped.

        """
        self._opener.horizon, self._opener.disproved_until = after, until

    @property
    def states(self) -> list[SourceState]:
        """The state of each source in use, or of the first sources while they are read."""
        return [source.follower.state for source in self._sources] or self._first

    @property
    def _sources(self) -> list[AnySource]:
        """All sources in use."""
        return [] if self._index is None or self._journal is None else all_of(self._index, self._journal)

    def state_of(self, kind: str, receiver: str) -> SourceState:
        """Return the state of a receiver's source of a kind. Raise KeyError if there is none."""
        return {state.name: state for state in self.states}[named(kind, receiver)]

    def known_coverage(self) -> tuple[Coverage, ...]:
        """Return the coverage of each source as of its latest read."""
        return tuple(state.known_coverage() for state in self.states)

    def confirm_clock(self) -> None:
        """Record that the clock was right until now, so rows that were found ahead of it really are."""
        if self._index is not None:
            for source in self._index.by_receiver.values():
                source.follower.dates.confirm()

    def ahead_rows(self, now: Instant) -> dict[str, list[AheadRow]]:
        """Return receiver -> the rows of its index, within the lookback or later, that are dated ahead."""
        if self._index is None:
            return {}
        since, sources = now - self._index.lookback_us, self._index.by_receiver
        return {name: source.follower.dates.ahead_since(since) for name, source in sources.items()}

    def disproved(self, now: Instant) -> dict[str, list[Instant]]:
        """Return receiver -> the times of its journal's entries within the lookback, or later, that do not count."""
        if self._journal is None:
            return {}
        since, sources = now - self._journal.lookback_us, self._journal.by_receiver
        return {name: source.disproved.since(since) for name, source in sources.items()}

    def seen(self, now: Instant) -> frozenset[str]:
        """Return the names of the sources that were read up to an instant.

        They include `index` if the index of every receiver was read, and likewise `journal`. An index whose rows are
        not understood does not count. A journal whose lines are not understood does count, because it also shows what
        systemd reports about the unit, and its coverage shows which of its lines were not understood.
        """
        return seen_sources(
            {
                state.name: state.is_seen(now) and (general(state.name) == "journal" or state.share.is_understood)
                for state in self.states
            }
        )

    def protect(self, hosts: Sequence[str], lost: frozenset[str]) -> None:
        """Set the hosts that must keep their places, and the lost hosts; see `Fleet.protect`."""

        def protect(_: None) -> None:
            self.fleet.lost = lost
            self.fleet.protect(hosts)

        self._gate.guarded(protect)(None)

    @asynccontextmanager
    async def prepared(self, settings: Settings, lookback: Lookback) -> AsyncIterator[PreparedSources]:
        """Yield the sources for some settings. New ones, or those read further back, are read to their end first.

        The sources in use are followed until `switch`, which must be called within this context. No other sources are
        opened meanwhile.
        """
        async with self._opening:
            yield await self._prepare(settings, lookback)

    async def _prepare(self, settings: Settings, lookback: Lookback) -> PreparedSources:
        index, journal, wanted = self._index, self._journal, Wanted(lookback, settings.host_limit, settings.ignored)
        self.fleet.register.expect(settings.expected)
        if settings.ignored.globs != self._ignored.globs:
            # The present tables lack hosts that were ignored, and contain hosts that are to be ignored.
            index = journal = None
        indexes = {receiver.name: receiver.index for receiver in settings.receivers}
        journals = {receiver.name: receiver.journal for receiver in settings.receivers}
        is_learning = bool(lookback.rhythm_us)
        is_lacking = index is None or index.lookback_us < lookback.uploads_us or (is_learning and index.cadence is None)
        if index is None or index.settings != indexes or is_lacking:
            index = self._opener.index(indexes, wanted, self._index, is_learning=is_learning)
            # The rhythms learn from the journal while it is read.
            self.fleet.cadence = self.fleet.cadence or index.cadence
        if journal is None or journal.settings != journals or journal.lookback_us < lookback.traffic_us:
            journal = self._opener.journal(journals, wanted, self._journal)
        await self._catch_up_with(index, journal)
        identities = identities_of(settings.receivers)
        exchanged = frozenset(
            kind for kind, found in identities.items() if not found.issuperset(self._identities.get(kind, ()))
        )
        return PreparedSources(index, journal, wanted, exchanged=exchanged, identities=identities)

    def switch(self, prepared: PreparedSources) -> Callable[[], Awaitable[None]]:
        """Replace the sources without waiting, reading or failing. Return a function that closes the old ones."""
        lookback = prepared.wanted.lookback
        if not lookback.rhythm_us:
            prepared.index.cadence = None
        close_old = self._switch(prepared.index, prepared.journal)
        self._ignored, self._identities = prepared.wanted.ignored, prepared.identities
        self.fleet.exchanged = {**self.fleet.exchanged, **dict.fromkeys(prepared.exchanged, self._clock())}
        # Unchanged sources need it too, because the next tick forgets observations before the lookback.
        prepared.index.lookback_us, prepared.journal.lookback_us = lookback.uploads_us, lookback.traffic_us
        self.fleet.limit_hosts(prepared.wanted.host_limit)
        return close_old

    def note_boot(self, booted_at: Instant, known_until: Instant | None) -> None:
        """Record that no host could upload between our latest record, `known_until`, and the boot of this machine.

        Do nothing if all journals are read from directories, because those belong to other machines or to the past.
        """
        settings = {} if self._journal is None else self._journal.settings
        if known_until is not None and any(one.directory is None for one in settings.values()):
            self.fleet.shut_down(known_until, booted_at)

    async def adopt(self, settings: Settings, lookback: Lookback) -> None:
        """Open the sources of some settings, and switch to them."""
        async with self.prepared(settings, lookback) as sources:
            close_old = self.switch(sources)
        await close_old()

    async def reread(self, gap: Gap) -> None:
        """Read all sources again, as at the start. Forget what was read before, except for the gaps of the journals.

        Args:
            gap: The span that the clock skipped or shows twice. It becomes a gap of each journal, because
                counts over it prove nothing.

        """
        async with self._opening:
            await self._reread(gap)

    async def _reread(self, gap: Gap) -> None:
        # A source may have been exchanged while the clock was ahead.
        self.fleet.exchanged = {kind: min(at, self._clock()) for kind, at in self.fleet.exchanged.items()}
        self.fleet.end_shutdowns(self._opener.latest)
        if self._index is not None and self._journal is not None:
            gaps_before = self._gaps
            lookback = Lookback(self._index.lookback_us, self._journal.lookback_us)
            wanted = Wanted(lookback, self.fleet.uploads.limit, self._ignored)
            index = self._opener.index(
                self._index.settings,
                wanted,
                self._index,
                is_clock_set=True,
                is_learning=self._index.cadence is not None,
            )
            journal = self._opener.journal(self._journal.settings, wanted, self._journal)
            await self._catch_up_with(index, journal)
            await self._switch(index, journal)()
            for name, source in journal.by_receiver.items():
                state = source.follower.state
                found_again = state.gaps
                state.gaps = []
                for one in sorted({*gaps_before[name], *found_again, gap}, key=lambda gap: gap.since):
                    state.lack(one, gap.until - journal.lookback_us)

    @property
    def _gaps(self) -> dict[str, list[Gap]]:
        """Receiver -> the gaps of its journal."""
        sources = {} if self._journal is None else self._journal.by_receiver
        return {name: source.follower.state.gaps for name, source in sources.items()}

    async def _catch_up_with(self, index: IndexSources, journal: JournalSources) -> None:
        """Read the sources that are not followed yet to their end."""
        self._first = [source.follower.state for source in all_of(index, journal)]
        register, fleet = self.fleet.register, self.fleet
        # Until the new index has been read, the hosts of the old one count as known hosts.
        tables = (index.table, fleet.uploads, journal.table.accepted, fleet.traffic.accepted)
        register.uploads = tuple(table.last_at for table in tables)
        register.audience += tuple(table.admit for table in journal.tables() if table.admit not in register.audience)
        await self._catch_up(index, journal)

    def _switch(self, index: IndexSources, journal: JournalSources) -> Callable[[], Awaitable[None]]:
        """Replace the sources, and follow the new ones. Return a function that closes the old ones."""
        fleet, sources = self.fleet, all_of(index, journal)
        old = [source for source in self._sources if source not in sources]
        known = fleet.cadence
        if index.cadence is not None and known is not None and known is not index.cadence:
            index.cadence.merge(known)
        fleet.cadence = index.cadence
        self._index, self._journal = index, journal
        index.table.notes_newcomers = journal.table.accepted.notes_newcomers = True
        fleet.uploads, fleet.traffic = index.table, journal.table
        fleet.receivers = {
            name: Tables(source.table, journal.by_receiver[name].table)
            for name, source in index.by_receiver.items()
            if name
        }
        fleet.inform_tables()
        for source in sources:
            if source.task is None:
                source.task = self._start(source.follower.follow())

        async def close_old() -> None:
            await asyncio.gather(*(end(source) for source in old))

        return close_old

    async def _catch_up(self, index: IndexSources, journal: JournalSources) -> None:
        """Read the sources that are not followed yet to their end, indexes first as long as they make progress."""
        polls: list[asyncio.Future[None]] = []
        try:
            if not index.are_followed:
                followers = [source.follower for source in index.by_receiver.values()]
                polls += [asyncio.ensure_future(follower.poll()) for follower in followers]
                read_before = -1
                while not all(poll.done() for poll in polls) and (read := read_by(followers)) > read_before:
                    read_before = read
                    await asyncio.wait(polls, timeout=_PROGRESS_TIME)
            if not journal.are_followed:
                polls += [asyncio.ensure_future(one.follower.poll()) for one in journal.by_receiver.values()]
            await asyncio.gather(*polls)
        finally:
            for poll in polls:
                poll.cancel()

    def note_unmatched(self, now: Instant) -> None:
        """Record for each journal whether it lacks the responses to uploads in the index."""
        if self._journal is None:
            return
        for name, source in self._journal.by_receiver.items():
            state = source.follower.state
            rows = self.fleet.of(name).uploads.instants()
            # A journal without any entry of the receiver is reported as `unheard` instead.
            is_unmatched = not state.unheard and state.coverage(now).is_unmatched(rows, now)
            state.unmatched = unmatched_in_words(source.settings) if is_unmatched else ""

    def log_rejections(self) -> None:
        """Log the rejected lines, at most once a minute."""
        if time.monotonic() < self._rejections_logged_until:
            return
        self._rejections_logged_until = time.monotonic() + _LOG_REJECTIONS_EVERY
        for state in self.states:
            for reason, count, latest in state.rejections.news():
                _log.warning("lines rejected", source=state.name, reason=reason, count=count, latest=latest)

    async def poll(self) -> None:
        """Read the rows and entries since the last call, for at most `_POLL_TIME` seconds."""
        polls = []
        for source in self._sources:
            if source.poll is None or source.poll.done():
                source.poll = self._start(source.follower.poll())
            polls.append(source.poll)
        if polls:
            # A poll that takes longer is not cancelled, because the lines that it has read would be lost.
            await asyncio.wait(polls, timeout=_POLL_TIME)

    def learned_until(self) -> Instant | None:
        """Return the instant up to which the rhythms include every upload; None if unknown, or no limit is learned."""
        return None if self._index is None else self._opener.learned_until(self._index)

    def paused(self) -> AbstractAsyncContextManager[Fleet]:
        """Yield the fleet for reading in another thread; see `FleetGate.paused`."""
        return self._gate.paused()
