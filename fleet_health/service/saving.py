"""Collect the state to save, and decide when to write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fleet_health.model.cadence import CadenceSnapshot
from fleet_health.model.history import HistorySnapshot
from fleet_health.model.instant import SECOND_US, Instant
from fleet_health.records.state_file import encoded
from fleet_health.service.receiver_sources import KnownSources, identities_of
from fleet_health.service.saved_state import SavedReceiver, SavedState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet_health.alerting.alert import Notice
    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.silences import SilenceWatch
    from fleet_health.config.schema import ReceiverSettings
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.history import History
    from fleet_health.model.row_dates import AheadRow
    from fleet_health.service.intake import Intake

_SAVE_EVERY_US = 60 * SECOND_US


def state_to_save(
    incidents: Incidents,
    intake: Intake,
    receivers: Sequence[ReceiverSettings],
    silences: SilenceWatch,
    history: History,
    *,
    ahead_rows: Mapping[str, list[AheadRow]],
    disproved: Mapping[str, list[Instant]],
    notices: Sequence[Notice] = (),
) -> SavedState:
    """Return the present state, without the facts from the fleet, which `Saving.due` adds if the state is saved.

    Args:
        incidents: The incidents.
        intake: The sources.
        receivers: The receivers in force.
        silences: The records of silences.
        history: The history of the hosts.
        ahead_rows: Receiver -> the rows of its index that are dated ahead.
        disproved: Receiver -> the times of its journal's entries that do not count.
        notices: The recent notices.

    """
    state = SavedState(incidents=incidents.snapshot(), silences=silences.records, history=history.snapshot)
    state.are_urls_undone, state.disproved_until, state.notices = True, intake.disproved_until, list(notices)
    state.identities = {kind: sorted(found) for kind, found in identities_of(receivers).items()}
    state.exchanged = dict(intake.fleet.exchanged)
    if (learned_until := intake.learned_until()) is not None:
        state.cadence = CadenceSnapshot(learned_until)
    for receiver in receivers:
        journal, known = (
            intake.state_of("journal", receiver.name),
            intake.known.sources.get(receiver.name, KnownSources()),
        )
        saved = state.receivers.setdefault(receiver.name, SavedReceiver()) if receiver.name else state
        saved.journal_seen_until = journal.seen_until or known.journal_seen_until
        saved.journal_gaps, saved.index_path = journal.gaps, str(receiver.index.path)
        saved.ahead_rows = ahead_rows.get(receiver.name, [])
        saved.disproved = disproved.get(receiver.name, [])
    return state


class Saving:
    """Decides when to write the state. A tick may be 100 ms, and writing wears out SD cards."""

    def __init__(self) -> None:
        self._lasting = b""
        self._at: Instant | None = None

    def expire(self) -> None:
        """Make the next state due, whatever has changed."""
        self._at = None

    def due(self, state: SavedState, now: Instant, fleet: Fleet) -> bytes | None:
        """Return the complete state, encoded; None if the last save is recent and only instants have changed.

        Args:
            state: The state, as `state_to_save` returns it.
            now: The present.
            fleet: The fleet. No other thread may change it meanwhile.

        """
        # These texts contain figures that differ at each tick.
        still = [msgspec.structs.replace(one, detail="", suggested_fix="") for one in state.incidents.open]
        incidents = msgspec.structs.replace(state.incidents, at=None, open=still)
        passing: dict[str, Any] = {
            "journal_seen_until": None,
            "history": HistorySnapshot(),
            "cadence": None,
            "receivers": {
                name: msgspec.structs.replace(saved, journal_seen_until=None) for name, saved in state.receivers.items()
            },
        }
        lasting = encoded(msgspec.structs.replace(state, incidents=incidents, **passing))
        if lasting == self._lasting and self._at is not None and 0 <= now - self._at < _SAVE_EVERY_US:
            return None
        self._lasting, self._at = lasting, now
        uploads = fleet.uploads
        left_out = (
            (uploads.left_out.count, uploads.left_out.host, uploads.left_out.latest_at) if uploads.was_full else None
        )
        return encoded(
            msgspec.structs.replace(
                state,
                uploads={} if state.receivers else dict(uploads.items()),
                accepted={} if state.receivers else fleet.without_row(),
                receivers={
                    name: msgspec.structs.replace(
                        saved, uploads=dict(fleet.of(name).uploads.items()), accepted=fleet.of(name).without_row()
                    )
                    for name, saved in state.receivers.items()
                },
                cadence=_snapshot_of(fleet, state.cadence),
                newcomers=dict(uploads.newcomers),
                left_out=left_out,
                skips=list(fleet.skips),
                shutdowns=list(fleet.shutdowns),
            )
        )


def _snapshot_of(fleet: Fleet, known: CadenceSnapshot | None) -> CadenceSnapshot | None:
    return None if fleet.cadence is None or known is None else fleet.cadence.snapshot(known.until)
