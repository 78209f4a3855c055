"""What the service knows after a restart that its inputs do not tell, and how it is put together again at the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from fleet_health.alerting.alert import Notice  # noqa: TC001 - msgspec reads the annotations at run time
from fleet_health.alerting.silences import SilenceRecord  # noqa: TC001 - msgspec reads the annotations at run time
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.errors import SinkUnavailable
from fleet_health.files.hang_watch import touching
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.model.cadence import CadenceSnapshot
from fleet_health.model.clock_evidence import BEHIND_LIMIT_US
from fleet_health.model.coverage import Gap  # noqa: TC001 - msgspec reads the annotations at run time
from fleet_health.model.history import HistorySnapshot
from fleet_health.model.instant import HOUR_US, SECOND_US, Instant
from fleet_health.model.places import LeftOut
from fleet_health.model.row_dates import AheadRow, RowDates
from fleet_health.records.salvage import salvage
from fleet_health.records.state_file import SIZE_LIMIT, STATE_FILE, encoded
from fleet_health.service.receiver_sources import KnownSources, identities_of
from fleet_health.service.restoring import examined, with_present_names
from fleet_health.sources.state import no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.silences import SilenceWatch
    from fleet_health.config.schema import ReceiverSettings
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.history import History
    from fleet_health.records.alert_log import AlertLog
    from fleet_health.records.state_file import StateFile
    from fleet_health.service.intake import Intake

_SAVE_EVERY_US = 60 * SECOND_US
_PROBLEMS_LOGGED = 10

_log = structlog.get_logger("fleet_health.service")


class SavedReceiver(msgspec.Struct):
    """What is saved of the sources of a receiver.

    Attributes:
        journal_seen_until: Up to when the journal had been read whole; None if it never was.
        journal_gaps: What of the journal was never seen, as far back as it is looked at.
        index_path: Which index the uploads are from.
        uploads: When each host uploaded last: rows may be compressed or removed while nobody watches.
        accepted: When uploads of each host were accepted by the journal of which the index has no row.
        ahead_rows: The rows of the index that were dated ahead when they were read, and when each counts.

    """

    journal_seen_until: Instant | None = None
    journal_gaps: list[Gap] = []
    index_path: str = ""
    uploads: dict[str, Instant] = {}
    accepted: dict[str, list[Instant]] = {}
    ahead_rows: list[AheadRow] = []

    def known_by(self, settings: ReceiverSettings) -> KnownSources:
        """Return what is known of a receiver; uploads only if they are from the same index."""
        if not self.is_of(settings):
            return KnownSources(self.journal_seen_until, self.journal_gaps)
        return KnownSources(self.journal_seen_until, self.journal_gaps, self.uploads, self.accepted, self.ahead_rows)

    def is_of(self, settings: ReceiverSettings) -> bool:
        """Return whether it is about the index of a receiver."""
        return self.index_path == str(settings.index.path)


class SavedState(SavedReceiver):
    """The state that is saved at each tick; where there is one receiver, what is saved of it is among it.

    Attributes:
        incidents: What is open.
        silences: What is known of each silence, by its id.
        history: What the hosts did in the last hours.
        receivers: What is saved of each receiver, by its name, if there are several.
        newcomers: Which hosts turned up for the first time within the lookback, each with its first row.
        left_out: How many rows of new hosts were left out because there were too many hosts, the latest host, and when.
        are_urls_undone: Whether hosts have the names that they have without the encoding of a URL. Before 0.1.0 an
            access of `/b%C3%BCro/` was by a host of that name, escaped once more.
        skips: From when to when time was skipped, because the clock was set ahead.
        identities: Which sources of each kind were read; empty if that is not known.
        exchanged: Since when another source of a kind is read in the place of one.
        shutdowns: From when to when the machine was off or asleep.
        disproved_until: Up to when records are dated ahead by a clock that was wrong, as was confirmed; 0 if none is.
        notices: The notices of late, which the alert log need not have.
        cadence: The rhythm of each host; None if no limit is learned.

    """

    incidents: Snapshot = msgspec.field(default_factory=Snapshot)
    silences: dict[str, SilenceRecord] = {}
    history: HistorySnapshot = msgspec.field(default_factory=HistorySnapshot)
    receivers: dict[str, SavedReceiver] = {}
    newcomers: dict[str, Instant] = {}
    left_out: tuple[int, str, Instant] | None = None
    are_urls_undone: bool = False
    skips: list[tuple[Instant, Instant]] = []
    shutdowns: list[tuple[Instant, Instant]] = []
    disproved_until: Instant = 0
    identities: dict[str, list[str]] = {}
    exchanged: dict[str, Instant] = {}
    notices: list[Notice] = []
    cadence: CadenceSnapshot | None = None

    def row_dates(self, receiver: ReceiverSettings) -> RowDates:
        """Return the dates of a receiver's rows that were dated ahead, if it has the same index as before."""
        return RowDates(self.known_of(receiver).ahead_rows)

    def known_of(self, receiver: ReceiverSettings) -> KnownSources:
        """Return what is known of the sources of a receiver."""
        return self._saved_of(receiver).known_by(receiver)

    def prepare(self, intake: Intake, receivers: Sequence[ReceiverSettings]) -> None:
        """Give an intake that has not read anything yet what is known of its sources."""
        intake.known_identities, intake.fleet.exchanged = self.identities, dict(self.exchanged)
        intake.fleet.skips, intake.fleet.shutdowns = tuple(self.skips), tuple(self.shutdowns)
        intake.disproved_until = self.disproved_until
        intake.known = {one.name: self.known_of(one) for one in receivers}
        intake.known_cadence = self.known_cadence(receivers)
        if any(self._saved_of(one).is_of(one) for one in receivers):
            intake.known_newcomers = self.newcomers
            if self.left_out is not None:
                intake.known_left_out = LeftOut(*self.left_out)

    def known_cadence(self, receivers: Sequence[ReceiverSettings]) -> CadenceSnapshot:
        """Return the rhythms of the hosts of some receivers, if they were learned from the same indexes."""
        is_same = set(self.identities.get("index", ())) == identities_of(receivers)["index"]
        return self.cadence if self.cadence is not None and is_same else CadenceSnapshot()

    def _saved_of(self, settings: ReceiverSettings) -> SavedReceiver:
        """Return what is saved of a receiver by its name; or by its index, if it had another name or none then."""
        saved = {"": self, **self.receivers}
        own = saved.pop(settings.name, SavedReceiver())
        return own if own.is_of(settings) else next((one for one in saved.values() if one.is_of(settings)), own)


def state_to_save(
    incidents: Incidents,
    intake: Intake,
    receivers: Sequence[ReceiverSettings],
    silences: SilenceWatch,
    history: History,
    *,
    ahead_rows: Mapping[str, list[AheadRow]],
    notices: Sequence[Notice] = (),
) -> SavedState:
    """Put together what is worth remembering now, but for the uploads."""
    state = SavedState(incidents=incidents.snapshot(), silences=silences.records, history=history.snapshot)
    state.are_urls_undone, state.disproved_until, state.notices = True, intake.disproved_until, list(notices)
    state.identities = {kind: sorted(found) for kind, found in identities_of(receivers).items()}
    state.exchanged = dict(intake.fleet.exchanged)
    if (learned_until := intake.learned_until()) is not None:
        state.cadence = CadenceSnapshot(learned_until)
    for receiver in receivers:
        journal, known = intake.state_of("journal", receiver.name), intake.known.get(receiver.name, KnownSources())
        saved = state.receivers.setdefault(receiver.name, SavedReceiver()) if receiver.name else state
        saved.journal_seen_until = journal.seen_until or known.journal_seen_until
        saved.journal_gaps, saved.index_path = journal.gaps, str(receiver.index.path)
        saved.ahead_rows = ahead_rows.get(receiver.name, [])
    return state


class Saving:
    """Decides when the state is worth a write: an SD card has only so many, and a tick may take 100 ms."""

    def __init__(self) -> None:
        self._lasting = b""
        self._at: Instant | None = None

    def due(self, memory: SavedState, now: Instant, fleet: Fleet) -> bytes | None:
        """Return the state to save with the uploads, encoded; None if only instants have changed since it last was."""
        # What an incident is found by has another figure at each tick.
        still = [msgspec.structs.replace(one, detail="", suggested_fix="") for one in memory.incidents.open]
        uploads, incidents = fleet.uploads, msgspec.structs.replace(memory.incidents, at=None, open=still)
        passing: dict[str, Any] = {
            "journal_seen_until": None,
            "history": HistorySnapshot(),
            "cadence": None,
            "receivers": {
                name: msgspec.structs.replace(saved, journal_seen_until=None)
                for name, saved in memory.receivers.items()
            },
        }
        lasting = encoded(msgspec.structs.replace(memory, incidents=incidents, **passing))
        if lasting == self._lasting and self._at is not None and 0 <= now - self._at < _SAVE_EVERY_US:
            return None
        self._lasting, self._at = lasting, now
        uploads = fleet.uploads
        left_out = (
            (uploads.left_out.count, uploads.left_out.host, uploads.left_out.latest_at) if uploads.was_full else None
        )
        return encoded(
            msgspec.structs.replace(
                memory,
                uploads={} if memory.receivers else dict(uploads.items()),
                accepted={} if memory.receivers else fleet.without_row(),
                receivers={
                    name: msgspec.structs.replace(
                        saved, uploads=dict(fleet.of(name).uploads.items()), accepted=fleet.of(name).without_row()
                    )
                    for name, saved in memory.receivers.items()
                },
                cadence=_snapshot_of(fleet, memory.cadence),
                newcomers=dict(uploads.newcomers),
                left_out=left_out,
                skips=list(fleet.skips),
                shutdowns=list(fleet.shutdowns),
            )
        )


def _snapshot_of(fleet: Fleet, known: CadenceSnapshot | None) -> CadenceSnapshot | None:
    return None if fleet.cadence is None or known is None else fleet.cadence.snapshot(known.until)


def recall(file: StateFile[SavedState]) -> SavedState:
    """Read the state back; what cannot be read, or cannot be, is logged, and begins anew."""
    try:
        memory = with_present_names(file.load(examined) or SavedState())
    except SinkUnavailable as error:
        _log.error("state file not readable, started without saved incidents", reason=str(error))
        return SavedState()
    if file.problems:
        _log.error(
            "state file damaged, undamaged part restored",
            file=str(file.path),
            copy="state.damaged",
            problems=file.problems[:_PROBLEMS_LOGGED],
            count=len(file.problems),
        )
    return memory


def saved_state(directory: Path) -> SavedState | None:
    """Return the saved state of a service without changing anything; None if it cannot be read."""
    try:
        with touching(directory), SafeDirectory(directory) as opened:
            content = opened.read_file(STATE_FILE, SIZE_LIMIT)
        state, _ = salvage(msgspec.json.decode(content, type=dict[str, Any]), SavedState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if state is None else with_present_names(examined(state)[0])


def newest_alert_at(log: AlertLog, now: Instant) -> Instant | None:
    """Return the newest row of the alert log that is dated ahead of the clock; None if there is none.

    No later than the file itself was written: a row may hold any date, and the file's time anybody may set.
    """
    try:
        ahead = [at for _, at in log.notified_since(now + BEHIND_LIMIT_US)]
    except SinkUnavailable:
        return None  # that is reported where the rows themselves are needed
    return no_later_than_written(max(ahead, default=None), log.path)


@dataclass(frozen=True, slots=True)
class PastAlerts:
    """What an alert log tells of the past.

    Attributes:
        keys: The dedup keys of the alerts of this hour, each with its instant.
        rows: Host, symptom and status of what is later than the state, each with its instant.

    """

    keys: list[tuple[str, Instant]] = field(default_factory=list)
    rows: list[tuple[tuple[str, str, str], Instant]] = field(default_factory=list)

    def restore_to(self, incidents: Incidents) -> None:
        """Let the incidents know."""
        for key, at in self.keys:
            incidents.remember(key, at)
        for (host, symptom, status), at in self.rows:
            incidents.recall(host, symptom, status, at)


def past_alerts(log: AlertLog, now: Instant, saved_at: Instant | None) -> PastAlerts:
    """Read from the alert log which alerts were notified this hour, and whatever is later than the state.

    Args:
        log: The alert log.
        now: The present.
        saved_at: The latest evaluation in the state; None if there is no state.

    Raises:
        SinkUnavailable: It is there, and cannot be read.

    """
    since = now - now % HOUR_US if saved_at is None else saved_at + 1
    return PastAlerts(log.given(now), log.notified_since(since))


def past_alerts_or_none(log: AlertLog, now: Instant, saved_at: Instant | None) -> PastAlerts:
    """Do as `past_alerts` does; log that the alert log cannot be read, and return nothing then."""
    try:
        return past_alerts(log, now, saved_at)
    except SinkUnavailable as error:
        _log.error("alert log not readable, alerts of this hour unknown", reason=str(error))
        return PastAlerts()
