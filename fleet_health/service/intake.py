"""The sources that fill the fleet: opened, followed, and replaced when the configuration asks for other ones.

The index is read before the journal, at the start and whenever both are read anew: only the index shows
which hosts have uploaded before, and so have a place in the journal's table that strangers cannot take.

Of several receivers each has both sources. What one kind of them shows goes into one table for the fleet, so all of a
kind are opened anew if one of them is to be.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from fleet_health.detectors.spec import Lookback
from fleet_health.engine import seen_sources
from fleet_health.files.hanging_calls import LIMIT_S
from fleet_health.model.cadence import KEPT_US, Cadence, CadenceSnapshot
from fleet_health.model.coverage import Share, recent
from fleet_health.model.fleet import Fleet, Tables, Traffic, Uploads
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.observation import Upload
from fleet_health.model.places import LeftOut
from fleet_health.model.row_dates import RowDates
from fleet_health.model.subject import general, named
from fleet_health.service.receiver_sources import (
    KnownSources,
    PreparedSources,
    all_of,
    end,
    identities_of,
    read_by,
    sources_for,
)
from fleet_health.sources.follower import Follower
from fleet_health.sources.index.source import IndexFollower
from fleet_health.sources.journal.matches import unmatched_in_words
from fleet_health.sources.journal.source import JournalFollower

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence

    from fleet_health.config.schema import IndexSettings, JournalSettings, Settings
    from fleet_health.model.counters import Counters
    from fleet_health.model.coverage import Coverage, Gap
    from fleet_health.model.instant import Instant
    from fleet_health.model.row_dates import AheadRow
    from fleet_health.service.receiver_sources import AnySource, IndexSources, JournalSources
    from fleet_health.service.service_manager import Pulse
    from fleet_health.sources.state import SourceState

# Before an evaluation the sources are read once more; one that hangs must not keep the other's verdicts back.
_POLL_TIME = 5.0
_LOG_REJECTIONS_EVERY = 60.0
# Nor must an index that hangs keep the journal unread: it is waited for as long as it makes progress in such a time.
_PROGRESS_TIME = 5.0

_Follower = TypeVar("_Follower", bound=Follower)

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
        """Prepare to feed a fleet that is empty so far.

        Args:
            clock: Returns the present.
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
        self._index: IndexSources | None = None
        self._journal: JournalSources | None = None
        self._first: list[SourceState] = []
        self._silent_until = 0.0
        self._ignored = HostGlobs()
        self.known: Mapping[str, KnownSources] = {}
        """What was known of the sources of each receiver before this process; to be set before the first `adopt`."""
        self.known_newcomers: Mapping[str, Instant] = {}
        """Which hosts had turned up for the first time within the lookback, each with its first row; likewise."""
        self.known_identities: Mapping[str, Collection[str]] = {}
        """Kind of a source -> which ones of it were read before; likewise. Left out if that is not known."""
        self.known_cadence = CadenceSnapshot()
        """The rhythms that were known of the hosts of the same index; likewise."""
        self.known_left_out = LeftOut()
        """What a full table had left out; likewise."""
        self.horizon: Instant | None = None
        """Up to when our own records go: what is dated later comes from a clock that was wrong."""
        self.disproved_until: Instant = 0
        """Up to when entries are dated ahead by a clock that was wrong: whenever they were written, it was not then."""
        self._identities: Mapping[str, Collection[str]] = {}
        self._is_paused = False
        self._hold = asyncio.Lock()
        # A reload and a clock that is set may come together, and the later one must go on from what the other opened.
        self._opening = asyncio.Lock()
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []

    @property
    def states(self) -> list[SourceState]:
        """How well each source sees."""
        return [source.follower.state for source in self._sources] or self._first

    @property
    def _sources(self) -> list[AnySource]:
        """Every source in use, receiver by receiver."""
        return [] if self._index is None or self._journal is None else all_of(self._index, self._journal)

    def state_of(self, kind: str, receiver: str) -> SourceState:
        """How well a source of a receiver sees; raises KeyError if there is none."""
        return {state.name: state for state in self.states}[named(kind, receiver)]

    def known_coverage(self) -> tuple[Coverage, ...]:
        """What each source is known to have shown, between two evaluations."""
        return tuple(state.known_coverage() for state in self.states)

    def ahead_rows(self, now: Instant) -> dict[str, list[AheadRow]]:
        """Return the rows of each receiver's index that were dated ahead, as far back as they matter."""
        if self._index is None:
            return {}
        since, sources = now - self._index.lookback_us, self._index.by_receiver
        return {name: source.follower.dates.ahead_since(since) for name, source in sources.items()}

    def seen(self, now: Instant) -> frozenset[str]:
        """The sources of which everything up to an instant was seen, by name; `index` if that of every receiver was.

        Of an index that is not understood nothing is. The journal also shows what systemd reports of the unit, and its
        coverage shows what of it is not understood.
        """
        return seen_sources(
            {
                state.name: state.is_seen(now) and (general(state.name) == "journal" or state.share.is_understood)
                for state in self.states
            }
        )

    def protect(self, hosts: Sequence[str], lost: frozenset[str]) -> None:
        """Record which hosts must keep their places, and which have uploaded long ago. See `Fleet.protect`."""

        def protect(_: None) -> None:
            self.fleet.lost = lost
            self.fleet.protect(hosts)

        self._unless_paused(protect)(None)

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
        if index is None:
            self._identities = self.known_identities
        self.fleet.register.expect(settings.expected)
        if settings.ignored.globs != self._ignored.globs:
            # The tables lack hosts that are watched from now on, and hold hosts that are not.
            index = journal = None
        indexes = {receiver.name: receiver.index for receiver in settings.receivers}
        journals = {receiver.name: receiver.journal for receiver in settings.receivers}
        is_learning = bool(lookback.rhythm_us)
        is_lacking = index is None or index.lookback_us < lookback.uploads_us or (is_learning and index.cadence is None)
        if index is None or index.settings != indexes or is_lacking:
            index = self._open_index(indexes, lookback, settings.host_limit, settings.ignored, is_learning=is_learning)
            # Also what the journal shows meanwhile is learned from.
            self.fleet.cadence = self.fleet.cadence or index.cadence
        if journal is None or journal.settings != journals or journal.lookback_us < lookback.traffic_us:
            journal = self._open_journal(journals, lookback, settings.host_limit, settings.ignored)
        await self._catch_up_with(index, journal)
        identities = identities_of(settings.receivers)
        exchanged = frozenset(
            kind for kind, found in identities.items() if not found.issuperset(self._identities.get(kind, ()))
        )
        return PreparedSources(
            index, journal, lookback, settings.host_limit, settings.ignored, exchanged=exchanged, identities=identities
        )

    def switch(self, prepared: PreparedSources) -> Callable[[], Awaitable[None]]:
        """Go on with other sources, at once; return what closes the old ones."""
        if not prepared.lookback.rhythm_us:
            prepared.index.cadence = None
        old = self._switch(prepared.index, prepared.journal)
        self._ignored, self._identities = prepared.ignored, prepared.identities
        self.fleet.exchanged = {**self.fleet.exchanged, **dict.fromkeys(prepared.exchanged, self._clock())}
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
        settings = {} if self._journal is None else self._journal.settings
        if known_until is not None and any(one.directory is None for one in settings.values()):
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
        # By a clock that was ahead, a source was exchanged at a time that is still to come.
        self.fleet.exchanged = {kind: min(at, self._clock()) for kind, at in self.fleet.exchanged.items()}
        if self._index is not None and self._journal is not None:
            limit, known = self.fleet.uploads.limit, self._gaps
            # Which rows were dated ahead, and when they were read, goes by the clock as it was.
            lookback = Lookback(self._index.lookback_us, self._journal.lookback_us)
            index = self._open_index(
                *(self._index.settings, lookback, limit, self._ignored),
                is_clock_new=True,
                is_learning=self._index.cadence is not None,
            )
            journal = self._open_journal(self._journal.settings, lookback, limit, self._ignored)
            await self._catch_up_with(index, journal)
            await self._switch(index, journal)()
            for name, source in journal.by_receiver.items():
                state = source.follower.state
                found_again = state.gaps
                state.gaps = []
                for one in sorted({*known[name], *found_again, gap}, key=lambda gap: gap.since):
                    state.lack(one, gap.until - journal.lookback_us)

    @property
    def _gaps(self) -> dict[str, list[Gap]]:
        """The gaps of the journal of each receiver."""
        sources = {} if self._journal is None else self._journal.by_receiver
        return {name: source.follower.state.gaps for name, source in sources.items()}

    async def _catch_up_with(self, index: IndexSources, journal: JournalSources) -> None:
        """Read those of the sources that are new to their end."""
        self._first = [source.follower.state for source in all_of(index, journal)]
        register, fleet = self.fleet.register, self.fleet
        # A host that the old index shows stays known until the new one is read.
        tables = (index.table, fleet.uploads, journal.table.accepted, fleet.traffic.accepted)
        register.uploads = tuple(table.last_at for table in tables)
        register.audience += tuple(table.admit for table in journal.tables() if table.admit not in register.audience)
        await self._catch_up(index, journal)

    def _switch(self, index: IndexSources, journal: JournalSources) -> Callable[[], Awaitable[None]]:
        """Go on with these sources. Nothing here waits, reads or fails."""
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
        """Read the sources that are not followed yet to their end: the index first, if it can be read."""
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
        """Note of each receiver's journal whether it has shown no response, though the index has uploads."""
        if self._journal is None:
            return
        for name, source in self._journal.by_receiver.items():
            state = source.follower.state
            rows = (at for _, at in self.fleet.of(name).uploads.items())
            # Where nothing is heard of the receiver at all, that says it.
            is_unmatched = not state.unheard and state.coverage(now).is_unmatched(rows, now)
            state.unmatched = unmatched_in_words(source.settings) if is_unmatched else ""

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
        for source in self._sources:
            if source.poll is None or source.poll.done():
                source.poll = self._start(source.follower.poll())
            polls.append(source.poll)
        if polls:
            # A late one is left to itself: what it has read must not be lost.
            await asyncio.wait(polls, timeout=_POLL_TIME)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[Fleet]:
        """Return the fleet to another thread: it stands still, and what is delivered meanwhile is taken in afterwards.

        One has it at a time, for it may make the fleet forget what is too long ago.
        """
        async with self._hold:
            self._is_paused = True
            try:
                yield copy(self.fleet)  # a reload may exchange its tables
            finally:
                self._is_paused = False
                for record, observations in self._waiting:
                    record(observations)
                self._waiting.clear()

    def _unless_paused(self, record: Callable[[Any], None]) -> Callable[[Any], None]:
        def deliver(observations: Any) -> None:
            if self._is_paused:
                self._waiting.append((record, observations))
            else:
                record(observations)

        return deliver

    def _counted(
        self, receiver: str, source: AnySource, record: Callable[[Any], None], after: Instant | None
    ) -> Callable[[Any], None]:
        """Record, and count the responses that were not counted before.

        While a source is read up to the present, those are the ones that came in after a service before us had ended.
        If that is not known, or everything is read once more, there are none.
        """

        def deliver(observations: Any) -> None:
            record(observations)
            responses = self._counters.responses
            if source.task is not None:
                responses.record(receiver, observations)
            elif after is not None:
                responses.record(receiver, observations, after=after)
            if responses.is_crowded:
                responses.keep(self.fleet.has_place)

        return deliver

    def _unless_disproved(self, record: Callable[[Any], None]) -> Callable[[Any], None]:
        def deliver(observations: Any) -> None:
            if self.disproved_until > (now := self._clock()):
                observations = [one for one in observations if not now < one.at <= self.disproved_until]
            record(observations)

        return deliver

    def _open_index(
        self,
        settings: Mapping[str, IndexSettings],
        lookback: Lookback,
        host_limit: int,
        ignored: HostGlobs,
        *,
        is_clock_new: bool = False,
        is_learning: bool = False,
    ) -> IndexSources:
        def new_table() -> Uploads:
            return Uploads(host_limit, ignored, self.fleet.register)

        latest, lookback_us = self._latest, lookback.uploads_us
        known = {name: self._known_uploads(name, one) for name, one in settings.items()}
        sources = sources_for(settings, new_table, lookback_us)
        reads_us = lookback_us
        if is_learning:
            sources.cadence, learned_until = self._known_rhythms(settings, Cadence(host_limit, ignored))
            reads_us = max(lookback_us, min(lookback_us + KEPT_US, self._clock() - learned_until))
        newcomers: Mapping[str, Instant] = {}
        table = sources.table
        if self._index is None:
            newcomers, table.left_out = self.known_newcomers, self.known_left_out
        elif any(self._index.same(name, one) for name, one in settings.items()):
            uploads = self.fleet.uploads
            newcomers, table.left_out = uploads.newcomers, uploads.left_out
        # A last upload is a maximum, so what is known may stand under the rows that are there. It also comes from files
        # that have been compressed or removed since. What is dated ahead comes from a clock that was wrong; what is too
        # long ago to be evaluated by is missed at the next evaluation.
        for name, source in sources.by_receiver.items():
            record = sources.recorder(source.table, Uploads.record)
            record(Upload(host, at) for host, at in known[name].items() if at <= latest)
            follower = IndexFollower(
                source.settings,
                receiver=name,
                lookback_us=reads_us,
                deliver=self._unless_paused(record if not is_learning else self._learning(sources, record)),
                clock=self._clock,
                dates=RowDates() if is_clock_new else self._row_dates(name, source.settings),
                every_us=lookback.traffic_us,
                is_every_wanted=is_learning,
            )
            # A row that made a host known was understood.
            follower.state.share = Share(last_at=source.table.newest_at())
            source.follower = self._pulsing(follower, self._index_pulse)
        table.newcomers = {host: at for host, at in newcomers.items() if table.last_at(host) is not None}
        every = chain.from_iterable(one.items() for one in known.values())
        table.established = frozenset(host for host, at in every if at > latest and host not in newcomers)
        # Whoever is in the index of the first start may have been there for long.
        table.notes_newcomers = table.newest_at() is not None
        return sources

    def _known_rhythms(self, settings: Mapping[str, IndexSettings], cadence: Cadence) -> tuple[Cadence, Instant]:
        """Fill rhythms with what is known by the same indexes; return them, and up to when every upload is in them."""
        before = self._index
        if before is None:
            cadence.restore(self.known_cadence)
            return cadence, self.known_cadence.until
        if before.cadence is None or before.settings != settings:
            return cadence, 0
        cadence.merge(before.cadence)
        return cadence, self.learned_until() or 0

    def learned_until(self) -> Instant | None:
        """Return up to when every upload is in the rhythms; None if that is not known, or no limit is learned."""
        if self._index is None or self._index.cadence is None:
            return None
        seen = [source.follower.state.seen_until for source in self._index.by_receiver.values()]
        return min((at for at in seen if at is not None), default=None) if all(seen) else self.known_cadence.until

    def _learning(self, sources: IndexSources, record: Callable[[Any], None]) -> Callable[[Iterable[Upload]], None]:
        """Return what records uploads, and all of them in the rhythms, too."""

        def deliver(uploads: Iterable[Upload]) -> None:
            uploads = tuple(uploads)
            if sources.cadence is not None:
                sources.cadence.record(uploads)
            since = self._clock() - sources.lookback_us
            # A host that uploaded before that is not watched, and must not take a watched host's place.
            record([upload for upload in uploads if upload.at >= since])

        return deliver

    @property
    def _latest(self) -> Instant:
        """The present, or up to when our own records go if that is later."""
        now = self._clock()
        return now if self.horizon is None else max(now, self.horizon)

    def _row_dates(self, receiver: str, settings: IndexSettings) -> RowDates:
        """Return what dates the rows of an index, by what is known of it."""
        if self._index is None:
            return RowDates(self._saved(receiver).ahead_rows)
        before = self._index.same(receiver, settings)
        return RowDates() if before is None else before.follower.dates.anew()

    def _known_uploads(self, receiver: str, settings: IndexSettings) -> Mapping[str, Instant]:
        """Return when each host last uploaded to a receiver, as far as it is known by the same index."""
        if self._index is None:
            return self._saved(receiver).uploads
        before = self._index.same(receiver, settings)
        return {} if before is None else dict(before.table.items())

    def _saved(self, receiver: str) -> KnownSources:
        """Return what was known of the sources of a receiver before this process."""
        return self.known.get(receiver, KnownSources())

    def _open_journal(
        self, settings: Mapping[str, JournalSettings], lookback: Lookback, host_limit: int, ignored: HostGlobs
    ) -> JournalSources:
        lookback_us, latest = lookback.traffic_us, self._latest
        sources = sources_for(settings, lambda: Traffic(host_limit, ignored, self.fleet.register), lookback_us)
        if self._journal is not None and any(self._journal.same(name, one) for name, one in settings.items()):
            table = self.fleet.traffic.accepted
            sources.table.accepted.newcomers = dict(table.newcomers)
            sources.table.accepted.left_out = table.left_out
        for name, source in sources.by_receiver.items():
            saved = self._saved(name) if self._journal is None else KnownSources()
            before = None if self._journal is None else self._journal.same(name, source.settings)
            accepted = saved.accepted
            if before is not None:
                accepted = {host: before.table.accepted.latest(host) for host, _ in before.table.accepted.items()}
            # What is dated ahead comes from a clock that was wrong.
            accepted = {host: [at for at in instants if at <= latest] for host, instants in accepted.items()}
            sources.recorder(source.table, Traffic.remember)(accepted)
            if before is not None:
                source.table.adopt_unit(before.table)
            elif saved.journal_seen_until is not None:
                source.table.unit_history.seen_until = saved.journal_seen_until
            follower = JournalFollower(
                source.settings,
                receiver=name,
                lookback_us=lookback_us,
                deliver=self._unless_paused(
                    self._unless_disproved(
                        self._counted(
                            *(name, source),
                            self._learning_by_journal(sources.recorder(source.table, Traffic.record)),
                            saved.journal_seen_until,
                        )
                    )
                ),
                clock=self._clock,
                seen_until=saved.journal_seen_until,
                # A host's absence is known as far back as its uploads, and so must be when it could not upload.
                states_us=max(0, lookback.uploads_us + lookback.rhythm_us - lookback_us),
            )
            gaps = saved.journal_gaps if before is None else before.follower.state.gaps
            follower.state.gaps = recent(gaps, self._clock() - lookback_us, lookback_us)
            source.follower = self._pulsing(follower, self._journal_pulse)
        return sources

    def _learning_by_journal(self, record: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what records what a journal shows, and in the rhythms the uploads of hosts without a row."""

        def deliver(observations: Iterable[Any]) -> None:
            observations = tuple(observations)
            record(observations)
            self.fleet.learn_by_journal(observations)

        return deliver

    def _pulsing(self, follower: _Follower, pulse: Pulse) -> _Follower:
        follower.on_progress = lambda: pulse.beat(follower.rest + LIMIT_S)
        follower.counters = self._counters
        return follower
