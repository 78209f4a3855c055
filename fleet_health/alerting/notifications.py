"""The words of an alert for an incident that no detector finds any more, and of a notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.alert import LOST, RESOLVED, Notice
from fleet_health.alerting.lifecycle import Action
from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import describe, isoformat
from fleet_health.model.subject import is_host

if TYPE_CHECKING:
    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.model.instant import Instant

_DOUBTFUL = "it is no longer found, but it has not been seen to recover"
_DOUBTFUL_FIX = "`fleet-health explain '*'` shows what is missing. `fleet-health status` shows the inhibited incidents."
_HOST_FIX = (
    "If the host should still be there: check that it is up, and that its uploads are accepted. `fleet-health explain"
    " {host}` shows what is known of it."
)


def unfound(incident: Incident, lookback_us: int) -> Finding:
    """Return a finding for the alert of an open incident that no detector finds any more.

    Args:
        incident: The incident.
        lookback_us: After how long without any sign its host counts as lost.

    """
    fix = _HOST_FIX.format(host=incident.host) if is_host(incident.host) else _DOUBTFUL_FIX
    detail = _DOUBTFUL
    if incident.lost_at is not None:
        missing = "accepted upload" if incident.is_missed else "row or response"
        detail = (
            f"no {missing} since {isoformat(incident.last_sign_at)}, not in the whole lookback"
            f" ({describe(lookback_us)}): the host is lost, and nobody was notified of it before"
        )
    return Finding(incident.host, incident.symptom, detail, fix, incident.inhibits)


def notice_of(decision: Decision, now: Instant) -> Notice:
    """Return the notice of a decision to resolve or to lose."""
    incident = decision.incident
    if decision.action is Action.LOSE:
        return Notice(LOST, *decision.pair, incident.since, now, now)
    ended_at = now if incident.recovered_since is None else incident.recovered_since
    return Notice(RESOLVED, *decision.pair, incident.since, ended_at, now)
