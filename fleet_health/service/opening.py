"""Open the sources: create their followers, and tables that contain the known facts about them.

These facts come from the saved state at the start, and later from the sources that are replaced.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from fleet_health.files.hanging_calls import LIMIT_S
from fleet_health.model.cadence import Cadence
from fleet_health.model.coverage import Share, recent
from fleet_health.model.disproved import DisprovedEntries
from fleet_health.model.fleet import Traffic, Uploads
from fleet_health.model.observation import Upload
from fleet_health.model.rhythm import KEPT_US
from fleet_health.model.row_dates import RowDates
from fleet_health.service.receiver_sources import KnownPast, KnownSources, sources_for
from fleet_health.sources.follower import Follower
from fleet_health.sources.index.source import IndexFollower
from fleet_health.sources.journal.source import JournalFollower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fleet_health.config.schema import IndexSettings, JournalSettings
    from fleet_health.model.counters import Counters
    from fleet_health.model.instant import Instant
    from fleet_health.service.fleet_gate import FleetGate
    from fleet_health.service.receiver_sources import AnySource, IndexSources, JournalSources, Source, Wanted
    from fleet_health.service.service_manager import Pulse

_Follower = TypeVar("_Follower", bound=Follower)


class SourceOpener:
    """Opens the sources of one kind for all receivers, without reading them."""

    def __init__(
        self,
        gate: FleetGate,
        *,
        clock: Callable[[], Instant],
        index_pulse: Pulse,
        journal_pulse: Pulse,
        counters: Counters,
    ) -> None:
        """Prepare to open sources.

        Args:
            gate: Gives access to the fleet that they fill.
            clock: Returns the present.
            index_pulse: Beats when an index makes progress.
            journal_pulse: Beats when a journal makes progress.
            counters: The counters of the service.

        """
        self.known = KnownPast()
        """The facts about the sources from the saved state. They apply to the first sources that are opened."""
        self.horizon: Instant | None = None
        """The latest instant of our own records; None if there are none. See `KnownPast.latest_at`."""
        self.disproved_until: Instant = 0
        """Entries ahead of the clock are dropped up to this instant, because a wrong clock dated them."""
        self._gate = gate
        self._clock = clock
        self._index_pulse = index_pulse
        self._journal_pulse = journal_pulse
        self._counters = counters

    def index(
        self,
        settings: Mapping[str, IndexSettings],
        wanted: Wanted,
        before: IndexSources | None,
        *,
        is_clock_set: bool = False,
        is_learning: bool = False,
    ) -> IndexSources:
        """Open the index of each receiver.

        Args:
            settings: Receiver -> the settings of its index.
            wanted: The requirements of the settings.
            before: The indexes that they replace; None at the start.
            is_clock_set: Whether they are opened because the clock was set.
            is_learning: Whether the rhythms of the hosts are learned from the rows.

        """
        latest, lookback, fleet = self.latest, wanted.lookback, self._gate.fleet
        known = {name: self._known_uploads(name, one, before) for name, one in settings.items()}
        sources: IndexSources = sources_for(
            settings, lambda: Uploads(wanted.host_limit, wanted.ignored, fleet.register), lookback.uploads_us
        )
        reads_us = lookback.uploads_us
        if is_learning:
            sources.cadence = Cadence(wanted.host_limit, wanted.ignored)
            known_until = self._restore_rhythms(sources.cadence, settings, before)
            reads_us = max(reads_us, min(reads_us + KEPT_US, self._clock() - known_until))
        newcomers: Mapping[str, Instant] = {}
        table = sources.table
        if before is None:
            newcomers, table.left_out = self.known.newcomers, self.known.left_out
        elif any(before.same(name, one) for name, one in settings.items()):
            newcomers, table.left_out = fleet.uploads.newcomers, fleet.uploads.left_out
        # The last upload of a host is a maximum, so known uploads can be recorded before any row is read. The files
        # with their rows may have been compressed or removed since. Uploads dated ahead come from a wrong clock. The
        # next evaluation forgets uploads before the lookback.
        for name, source in sources.by_receiver.items():
            record = sources.recorder(source.table, Uploads.record)
            record(Upload(host, at) for host, at in known[name].items() if at <= latest)
            follower = IndexFollower(
                source.settings,
                receiver=name,
                lookback_us=reads_us,
                deliver=self._gate.guarded(self._learning(sources, record) if is_learning else record),
                clock=self._clock,
                dates=self._row_dates(name, source.settings, before, is_clock_set=is_clock_set),
                every_us=lookback.traffic_us,
                is_every_wanted=is_learning,
            )
            # Known hosts show that rows of the index were understood before.
            follower.state.share = Share(last_at=source.table.newest_at())
            source.follower = self._pulsing(follower, self._index_pulse)
        table.newcomers = {host: at for host, at in newcomers.items() if table.last_at(host) is not None}
        every = chain.from_iterable(one.items() for one in known.values())
        table.established = frozenset(host for host, at in every if at > latest and host not in newcomers)
        # At the first start, the age of the hosts is unknown.
        table.notes_newcomers = table.newest_at() is not None
        return sources

    def journal(
        self, settings: Mapping[str, JournalSettings], wanted: Wanted, before: JournalSources | None
    ) -> JournalSources:
        """Open the journal of each receiver.

        Args:
            settings: Receiver -> the settings of its journal.
            wanted: The requirements of the settings.
            before: The journals that they replace; None at the start.

        """
        lookback, fleet = wanted.lookback, self._gate.fleet
        sources: JournalSources = sources_for(
            settings, lambda: Traffic(wanted.host_limit, wanted.ignored, fleet.register), lookback.traffic_us
        )
        if before is not None and any(before.same(name, one) for name, one in settings.items()):
            accepted = fleet.traffic.accepted
            sources.table.accepted.newcomers = dict(accepted.newcomers)
            sources.table.accepted.left_out = accepted.left_out
        for name, source in sources.by_receiver.items():
            saved = self._saved(name) if before is None else KnownSources()
            same = None if before is None else before.same(name, source.settings)
            source.disproved = DisprovedEntries(saved.disproved) if same is None else same.disproved
            self._record_known(sources, source, saved, same)
            follower = JournalFollower(
                source.settings,
                receiver=name,
                lookback_us=lookback.traffic_us,
                deliver=self._deliver_journal(sources, source, name, saved.journal_seen_until),
                clock=self._clock,
                seen_until=saved.journal_seen_until,
                # Absence is evaluated over the lookback of uploads, and needs the downtimes of the receiver for that
                # time.
                states_us=max(0, lookback.uploads_us + lookback.rhythm_us - lookback.traffic_us),
            )
            gaps = saved.journal_gaps if same is None else same.follower.state.gaps
            follower.state.gaps = recent(gaps, self._clock() - lookback.traffic_us, lookback.traffic_us)
            source.follower = self._pulsing(follower, self._journal_pulse)
        return sources

    @property
    def latest(self) -> Instant:
        """The present or the latest instant of our own records, whichever is later."""
        now = self._clock()
        return now if self.horizon is None else max(now, self.horizon)

    def _saved(self, receiver: str) -> KnownSources:
        """Return the facts about the sources of a receiver from the saved state."""
        return self.known.sources.get(receiver, KnownSources())

    def _known_uploads(
        self, receiver: str, settings: IndexSettings, before: IndexSources | None
    ) -> Mapping[str, Instant]:
        """Return host -> its last known upload to a receiver; empty if the receiver had another index."""
        if before is None:
            return self._saved(receiver).uploads
        same = before.same(receiver, settings)
        return {} if same is None else dict(same.table.items())

    def _row_dates(
        self, receiver: str, settings: IndexSettings, before: IndexSources | None, *, is_clock_set: bool
    ) -> RowDates:
        """Return the dates of the rows of an index, including known rows that are dated ahead."""
        if before is None:
            return RowDates(self._saved(receiver).ahead_rows)
        same = before.same(receiver, settings)
        if same is None:
            return RowDates()
        dates = same.follower.dates
        return dates.by_another_clock() if is_clock_set else dates.anew()

    def _restore_rhythms(
        self, cadence: Cadence, settings: Mapping[str, IndexSettings], before: IndexSources | None
    ) -> Instant:
        """Restore the rhythms learned from the same indexes. Return the instant up to which they are complete."""
        if before is None:
            cadence.restore(self.known.cadence)
            return self.known.cadence.until
        if before.cadence is None or before.settings != settings:
            return 0
        cadence.merge(before.cadence)
        return self.learned_until(before) or 0

    def learned_until(self, index: IndexSources) -> Instant | None:
        """Return the instant up to which the rhythms include every upload; None before any row, or without learning."""
        if index.cadence is None:
            return None
        seen = [source.follower.state.seen_until for source in index.by_receiver.values()]
        return min((at for at in seen if at is not None), default=None) if all(seen) else self.known.cadence.until

    def _learning(self, sources: IndexSources, record: Callable[[Any], None]) -> Callable[[Iterable[Upload]], None]:
        """Return a function that learns from all uploads, and records those within the lookback."""

        def deliver(uploads: Iterable[Upload]) -> None:
            uploads = tuple(uploads)
            if sources.cadence is not None:
                sources.cadence.record(uploads)
            since = self._clock() - sources.lookback_us
            # A host without an upload within the lookback is not watched, so it gets no place in the table.
            record([upload for upload in uploads if upload.at >= since])

        return deliver

    def _record_known(
        self,
        sources: JournalSources,
        source: Source[JournalFollower, JournalSettings, Traffic],
        saved: KnownSources,
        same: Source[JournalFollower, JournalSettings, Traffic] | None,
    ) -> None:
        """Record the known facts about a receiver, from the saved state or from the same journal before a reopening."""
        latest, accepted = self.latest, saved.accepted
        if same is not None:
            accepted = {host: same.table.accepted.latest(host) for host, _ in same.table.accepted.items()}
            source.table.adopt_unit(same.table, latest)
        elif saved.journal_seen_until is not None:
            source.table.unit_history.seen_until = saved.journal_seen_until
        # Uploads dated ahead come from a wrong clock.
        accepted = {host: [at for at in instants if at <= latest] for host, instants in accepted.items()}
        sources.recorder(source.table, Traffic.remember)(accepted)

    def _deliver_journal(
        self, sources: JournalSources, source: AnySource, receiver: str, seen_until: Instant | None
    ) -> Callable[[Any], None]:
        """Return a function that records the observations of a journal and counts its responses.

        Each response is counted once, although journals are read again. While a journal catches up, only responses
        after `seen_until` are counted, because they were written while the service was down; none if it is None.
        """
        record = sources.recorder(source.table, Traffic.record)

        def count(observations: Any) -> None:
            responses = self._counters.responses
            if source.task is not None:
                responses.record(receiver, observations)
            elif seen_until is not None:
                responses.record(receiver, observations, after=seen_until)
            if responses.is_crowded:
                responses.keep(self._gate.fleet.has_place)

        def deliver(observations: Any) -> None:
            observations = source.disproved.left_out(observations, self._clock(), self.disproved_until)
            record(observations)
            self._gate.fleet.learn_by_journal(observations)
            count(observations)

        return self._gate.guarded(deliver)

    def _pulsing(self, follower: _Follower, pulse: Pulse) -> _Follower:
        follower.on_progress = lambda: pulse.beat(follower.rest + LIMIT_S)
        follower.counters = self._counters
        return follower
