"""Open incidents for findings, and for hosts that went missing while fleet-health was not running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.causes import consequences, possible_duplicates
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.symptoms import MISSED, STOPPING
from fleet_health.model.subject import EVERY_HOST, is_host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.alerting.alert_policy import AlertPolicy
    from fleet_health.alerting.scope import Scope
    from fleet_health.alerting.standing import Standing
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.spec import Finding
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


def note_findings(
    standing: Standing, found: Mapping[Pair, Finding], evaluation: Evaluation, policy: AlertPolicy, scope: Scope
) -> list[Pair]:
    """Record the findings of an evaluation that are in scope, and return the incidents that they open.

    An incident that is found again before its resolution was notified continues as if it had never ended.
    """
    opened: list[Pair] = []
    for pair, finding in found.items():
        incident = standing.open.get(pair)
        if incident is None and (incident := standing.unresolved.pop(pair, None)) is not None:
            standing.open[pair] = incident
        elif incident is None:
            incident = standing.open[pair] = Incident(*pair, evaluation.at)
            opened.append(pair)
        heard_at = evaluation.heard.get(finding.host)
        incident.note_found(evaluation.limits.get(pair, ""), evaluation.signs.get(pair), heard_at)
        incident.note_since(finding.since)
        incident.detail, incident.suggested_fix = finding.detail, finding.suggested_fix
        # It goes on inhibiting effects that are open but no longer found.
        unfound = (other for other in incident.inhibits - finding.inhibits if other not in found)
        incident.inhibits = finding.inhibits.union(other for other in unfound if other in standing.open)
    _note_one_fault(standing, found, policy)
    _note_gone(standing, evaluation, policy, scope)
    return opened


def _note_one_fault(standing: Standing, found: Mapping[Pair, Finding], policy: AlertPolicy) -> None:
    """Record which incidents of a host or a receiver are the cause of its other incidents.

    One that is recovering and was never notified is the cause of nothing: its host has a new fault.
    """
    of_one_fault: dict[Pair, Instant] = {}
    for pair, one in standing.open.items():
        if not is_host(one.host) or not policy.is_one_fault(one.host):
            continue
        if one.recovered_since is None or one.last_notified_at is not None:
            of_one_fault[pair] = one.opened_at
        else:
            one.inhibits = frozenset()
    for pair, others in consequences(of_one_fault).items():
        standing.open[pair].inhibits |= others
    for first, second, is_one_fault in possible_duplicates(found, standing.open):
        inhibits = standing.open[first].inhibits
        standing.open[first].inhibits = inhibits | {second} if is_one_fault else inhibits - {second}


def _note_gone(standing: Standing, evaluation: Evaluation, policy: AlertPolicy, scope: Scope) -> None:
    """Open incidents for hosts that went missing while fleet-health was not running.

    If they could not upload until some instant, they get as much time from then on as any other host.
    """
    resumed_at = max((one.until for one in evaluation.pauses), default=0)
    causes = [cause for symptom in STOPPING if (cause := standing.open.get((EVERY_HOST, symptom))) is not None]
    gone = [((host, symptom), last_at) for host, last_at in evaluation.gone.items() for symptom in MISSED]
    for pair, last_at in gone:
        is_long_gone = evaluation.at - last_at > policy.forget_after_us
        if is_long_gone or not scope.includes(*pair) or pair in standing.open:
            continue
        before = standing.unresolved.pop(pair, None)
        waits_until = resumed_at + policy.absence_us(*pair) if resumed_at > last_at else None
        standing.open[pair] = before or Incident(
            *pair, evaluation.at, began_at=last_at, sign_at=last_at, waits_until=waits_until
        )
        for cause in causes:
            cause.inhibits |= {pair}
