"""Read the fleet once, from the sources and the saved state of a service, as a starting service does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from fleet_health.detectors.evaluation import lookback_of
from fleet_health.errors import SourceUnavailable
from fleet_health.files.hang_watch import touching
from fleet_health.model.cadence import Cadence
from fleet_health.model.clock_evidence import INDEX, JOURNAL
from fleet_health.model.clock_jumps import joined
from fleet_health.model.coverage import Coverage
from fleet_health.model.disproved import DisprovedEntries
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Upload
from fleet_health.model.row_dates import FUTURE_LIMIT_US, RowDates, late_us
from fleet_health.model.subject import named
from fleet_health.model.window import NEVER
from fleet_health.service import clock
from fleet_health.service.saved_state import SavedState
from fleet_health.sources.index.once import read_every_row, read_index
from fleet_health.sources.journal.once import STATES_BACK_US, read_accepted, read_journal, unit_states
from fleet_health.sources.state import no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fleet_health.config.schema import ReceiverSettings, Settings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import RejectionCount

_log = structlog.get_logger("fleet_health.check")


@dataclass(frozen=True, slots=True)
class _Begins:
    """The instants from which on the uploads to a receiver matter.

    Attributes:
        watched: Hosts that uploaded since then are watched.
        compared: Rows since then are compared with the journal.
        learned: Rows since then count for the rhythm of their host, if rhythms are learned.

    """

    watched: Instant
    compared: Instant
    learned: Instant

    @property
    def earliest(self) -> Instant:
        """The earlier of the instants that concern the absence of hosts."""
        return min(self.watched, self.learned)


class FleetReader:
    """Fills a fleet from the sources, as of an instant.

    Attributes:
        fleet: The fleet so far.
        newest: Kind of source (`index`, `journal`) -> the date of the newest row or entry of all receivers. A date
            ahead of the clock shows that the clock is behind.
        unread: Path of a rotated file of an index that could not be read to its end -> the reason.

    """

    def __init__(self, settings: Settings, state: SavedState, now: Instant, *, is_live: bool) -> None:
        """Start from the saved state of the service.

        Args:
            settings: The settings, with the receivers and the watched hosts.
            state: The saved state of the service.
            now: The instant of the evaluation.
            is_live: Whether `now` is the present. If not, the saved state does not show what the service knew then.

        """
        self._settings, self._state, self._now, self._is_live = settings, state, now, is_live
        self._lookback = lookback_of(settings.detectors())
        self.fleet = Fleet(settings.host_limit, settings.ignored, settings.expected, settings.receiver_names)
        self.newest: dict[str, Instant] = {INDEX: 0}
        self.unread: dict[Path, str] = {}
        if is_live:
            self._restore()
        learned_until = self._restore_rhythms()
        learned, rules = max(learned_until, self._lookback.learns_since(now)), settings.rules()
        self._begins = {
            one.name: _Begins(
                watched=rules.reading_begins_at(self._unit_states(one), now),
                compared=now - self._lookback.traffic_us,
                learned=learned,
            )
            for one in settings.receivers
        }

    @property
    def _is_watched(self) -> bool:
        """Whether the saved state is of the instant of the evaluation."""
        return self._is_live and self._state.incidents.at is not None

    def _restore(self) -> None:
        """Record the known uploads, and the spans in which no host could upload."""
        fleet, state, now = self.fleet, self._state, self._now
        fleet.skips, fleet.shutdowns = tuple(state.skips), tuple(state.shutdowns)
        for receiver in self._settings.receivers:
            known = state.known_of(receiver)
            fleet.of(receiver.name).traffic.unit_history.seen_until = known.journal_seen_until or 0
            fleet.record_uploads(receiver.name, [Upload(host, at) for host, at in known.uploads.items() if at <= now])
            accepted = {host: [at for at in instants if at <= now] for host, instants in known.accepted.items()}
            fleet.record_accepted(receiver.name, accepted)
        is_local = any(receiver.journal.directory is None for receiver in self._settings.receivers)
        if is_local and state.incidents.at is not None:
            fleet.shut_down(state.incidents.at, clock.booted_at(now))

    def _restore_rhythms(self) -> Instant:
        """Prepare the rhythms if any limit is learned. Return the instant up to which they are known."""
        if not self._lookback.rhythm_us:
            return 0
        state = self._state if self._is_live else SavedState()
        self.fleet.cadence = Cadence(self._settings.host_limit, self._settings.ignored)
        self.fleet.cadence.restore(saved := state.known_cadence(self._settings.receivers))
        return saved.until

    def _unit_states(self, receiver: ReceiverSettings) -> list[UnitState]:
        """Return systemd's messages about the unit of a receiver; none if its journal cannot be read."""
        try:
            return unit_states(receiver.journal, self._now - STATES_BACK_US, self._now)
        except SourceUnavailable:
            return []

    def read_indexes(self) -> None:
        """Read the index of each receiver.

        Raises:
            SourceUnavailable: An index is missing or cannot be read.

        """
        for receiver in self._settings.receivers:
            dates = self._state.row_dates(receiver)
            self._read_index(receiver, dates)
            with touching(receiver.index.path):
                newest_at = no_later_than_written(dates.newest, receiver.index.path) or 0
            self.newest[INDEX] = max(self.newest[INDEX], newest_at)
        if not self._is_watched:
            # Uploads before the index begins are unknown.
            begins_at = self.fleet.since_begin("index", -NEVER)
            self.fleet.known_since = begins_at if begins_at <= self._now else -NEVER

    def _read_index(self, receiver: ReceiverSettings, dates: RowDates) -> None:
        fleet, begins = self.fleet, self._begins[receiver.name]
        # A row dated ahead of the present clock is an error, but a row after a past instant has not happened yet.
        until = self._now + FUTURE_LIMIT_US if self._is_live else self._now

        def take_in(uploads: Sequence[Upload]) -> None:
            # Hosts that last uploaded before that are not watched, and no service lost them either.
            watched = [upload for upload in uploads if begins.watched <= upload.at <= until]
            fleet.record_uploads(receiver.name, watched)
            if fleet.cadence is not None:
                fleet.cadence.record(upload for upload in uploads if upload.at <= until)

        present, source = max(self._now, clock.now()), named("index", receiver.name)
        if fleet.cadence is None:
            index = read_index(
                receiver.index, begins.watched, until, take_in, every_since=begins.compared, now=present, dates=dates
            )
        else:
            index = read_every_row(receiver.index, begins.earliest, take_in, now=present, dates=dates)
        with touching(receiver.index.path):
            late = _late_us(dates.newest, receiver.index.path) if self._is_live else 0
        fleet.coverage += (replace(index.coverage, source=source, late_us=late),)
        _report(index.rejections, source)
        self.unread |= index.unread

    def read_journals(self) -> None:
        """Read the journal of each receiver. If one cannot be read, report it and record a gap in its coverage."""
        for receiver in self._settings.receivers:
            if not self._is_watched:  # the state would show these uploads
                self._read_accepted(receiver)
            self._read_journal(receiver)

    def _read_accepted(self, receiver: ReceiverSettings) -> None:
        """Record the uploads in the journal before the windows, because a host may have no row in the index."""
        begins = self._begins[receiver.name]
        with suppress(SourceUnavailable):  # reading the windows reports this
            accepted: dict[str, list[Instant]] = {}
            for one in read_accepted(receiver.journal, begins.earliest, begins.compared):
                accepted.setdefault(one.host, []).append(one.at)
            self.fleet.record_accepted(receiver.name, accepted)

    def _read_journal(self, receiver: ReceiverSettings) -> None:
        fleet, now, begins = self.fleet, self._now, self._begins[receiver.name]
        source = named("journal", receiver.name)
        until = NEVER if self._is_live else now  # an entry dated ahead shows that the clock is behind
        known = self._state if self._is_live else SavedState()
        disproved = DisprovedEntries(known.known_of(receiver).disproved)

        def take_in(observations: Iterable[LogObservation | UnitState]) -> None:
            fleet.record_traffic(receiver.name, disproved.left_out(observations, now, known.disproved_until))

        states_since = min(begins.earliest, begins.compared)
        try:
            journal = read_journal(receiver.journal, begins.compared, until, take_in, states_since)
        except SourceUnavailable as error:
            _log.warning("journal not readable, only silent evaluated", source=source, reason=str(error))
            fleet.coverage += (Coverage(source, unseen_since=now, reason=str(error)),)
            return
        fleet.skips = joined(fleet.skips, journal.skips)
        # A single check cannot know how long there has been no entry of the unit.
        void_since = None if journal.coverage.void_since is None else now
        fleet.coverage += (replace(journal.coverage, source=source, void_since=void_since),)
        _report(journal.rejections, source)
        self.newest[JOURNAL] = max(self.newest.get(JOURNAL, 0), journal.last_at)


def _late_us(newest_at: Instant | None, path: Path) -> int:
    """Return how long before its write the newest row is dated, if that is too long; else 0."""
    try:
        found = path.stat()
    except OSError:
        return 0
    # Just after a rotation the file is empty, and the newest row is in another file.
    return late_us(newest_at, found.st_mtime_ns // 1000) if found.st_size else 0


def _report(rejections: RejectionCount, source: str) -> None:
    for reason, count in sorted(rejections.by_reason.items()):
        _log.info("lines rejected", source=source, reason=reason, count=count, latest=rejections.latest[reason])
