"""The list of open and recently ended incidents after an evaluation. Pure.

As in `overview`, instants are in ISO 8601 in UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import Action, Decision, Reason, State
from fleet_health.api.states import VERSION
from fleet_health.model.instant import isoformat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.ended import Ended
    from fleet_health.alerting.incidents import Incidents
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.instant import Instant


def incidents_document(
    last: Evaluation, decisions: Iterable[Decision], incidents: Incidents, problems: Iterable[str] = ()
) -> dict[str, Any]:
    """Make the document.

    Args:
        last: The latest evaluation.
        decisions: Its decisions.
        incidents: A copy of the incidents after it.
        problems: The problems of the service itself.

    """
    waiting = [Decision(one, State.RESOLVED, Action.NONE, Reason.RESOLVED_LATER, "") for one in incidents.unresolved]
    stand = [one for one in decisions if one.pair in incidents.open and one.state not in _ENDED]
    rows = []
    for decision in [*stand, *waiting, *incidents.flapping(last.at)]:
        incident = decision.incident
        rows.append(
            {
                "id": incident.id,
                "host": incident.host,
                "symptom": incident.symptom,
                **decision.row(),
                "opened_wall": isoformat(incident.opened_at),
                "first_notified_wall": _wall(incident.first_notified_at or incident.last_notified_at),
                "last_notified_wall": _wall(incident.last_notified_at),
                "loss_notified_wall": _wall(incident.loss_notified_at),
                "detail": incident.detail,
                "suggested_fix": incident.suggested_fix,
            }
        )
    return {
        "version": VERSION,
        "last_tick_wall": isoformat(last.at),
        "not_evaluated": list(last.not_evaluated),
        "problems": [*problems, *(f"the detector of {one.symptom} fails: {one.error}" for one in last.failures)],
        "open": rows,
        "ended": [ended_row(one) for one in reversed(incidents.ended.all)],
    }


_ENDED = frozenset({State.RESOLVED, State.FORGOTTEN})


def ended_row(ended: Ended) -> dict[str, Any]:
    """Return the JSON object for an ended incident."""
    return {
        "id": ended.id,
        "host": ended.host,
        "symptom": ended.symptom,
        "state": ended.state,
        "opened_wall": isoformat(ended.opened_at),
        "first_notified_wall": isoformat(ended.first_notified_at),
        "last_notified_wall": isoformat(ended.last_notified_at),
        "loss_notified_wall": _wall(ended.loss_notified_at),
        "ended_wall": isoformat(ended.ended_at),
        "resolved_wall": isoformat(ended.decided_at),
        "detail": ended.detail,
    }


def _wall(at: Instant | None) -> str | None:
    return None if at is None else isoformat(at)
