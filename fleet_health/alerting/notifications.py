"""The texts of notices, and of alerts for incidents that no detector finds any more."""

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

_UNCONFIRMED = "it is no longer found, but it has not been seen to recover"
_UNCONFIRMED_FIX = (
    "`fleet-health explain '*'` shows what is missing. `fleet-health status` shows the inhibited incidents."
)
_HOST_FIX = (
    "If the host should still be there: check that it is up, and that its uploads are accepted. `fleet-health explain"
    " {host}` shows what is known about it."
)


def unfound(incident: Incident, lookback_us: int) -> Finding:
    """Return a finding for the alert of an open incident that no detector finds any more.

    Args:
        incident: The incident.
        lookback_us: How long its host must have shown no sign to count as lost.

    """
    fix = _HOST_FIX.format(host=incident.host) if is_host(incident.host) else _UNCONFIRMED_FIX
    detail = _UNCONFIRMED
    if incident.lost_at is not None:
        missing = "accepted upload" if incident.is_missed else "row or response"
        detail = (
            f"no {missing} since {isoformat(incident.last_sign_at)}, not in the whole lookback"
            f" ({describe(lookback_us)}): the host is lost, and this was not notified before"
        )
    return Finding(incident.host, incident.symptom, detail, fix, incident.inhibits)


def notice_of(decision: Decision, now: Instant) -> Notice:
    """Return the notice of a decision to resolve or to lose."""
    incident = decision.incident
    if decision.action is Action.LOSE:
        return Notice(LOST, *decision.pair, incident.since, now, now)
    ended_at = now if incident.recovered_since is None else incident.recovered_since
    return Notice(RESOLVED, *decision.pair, incident.since, ended_at, now)
