"""End incidents, or mark them as lost.

Only three things end an incident: a fact that is newer than the incident (`Incident.is_ended_by`), changed limits that
it does not meet, or a scope that no longer includes it. That a detector no longer finds it is not enough, because a
clock that is behind or a host that has given up has the same effect. If the host of an incident shows no sign for the
whole lookback, the incident is lost, and is forgotten after a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from fleet_health.alerting.lifecycle import NOTHING, Fact
from fleet_health.alerting.symptoms import MISSED
from fleet_health.model.subject import is_host

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from fleet_health.alerting.alert_policy import AlertPolicy
    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.scope import Scope
    from fleet_health.alerting.situation import Situation
    from fleet_health.alerting.standing import Standing
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.subject import Pair

Ends: TypeAlias = "list[tuple[Incident, int]]"
"""Incidents that are no longer open, each with the facts that ended it, as bits of `Fact`."""


class Endings:
    """Ends incidents according to one evaluation.

    Attributes:
        ends: The incidents that have ended so far.
        resolved: The incidents that have recovered, including those whose resolution is suppressed.

    """

    def __init__(
        self, standing: Standing, evaluation: Evaluation, situation: Situation, policy: AlertPolicy, scope: Scope
    ) -> None:
        self.ends: Ends = []
        self.resolved: list[Incident] = []
        self._standing = standing
        self._evaluation = evaluation
        self._situation = situation
        self._policy = policy
        self._scope = scope

    def drop_out_of_scope(self) -> None:
        """Drop incidents that are out of scope, without a notification."""
        for pair in [pair for pair in self._standing.open if not self._scope.includes(*pair)]:
            self._drop(pair)

    def end(self, suppressed_by: Mapping[Pair, Fact], grouped: Container[Pair]) -> None:
        """End incidents that have recovered, mark lost ones, and forget those that were lost for too long.

        Args:
            suppressed_by: Incident -> the fact that suppresses its resolution, for those that are suppressed.
            grouped: The incidents that were alerted as part of a group.

        """
        self._release(suppressed_by)
        for pair, incident in list(self._standing.open.items()):
            if pair not in self._situation.found:
                self._end(pair, incident, suppressed_by.get(pair, NOTHING), is_grouped=pair in grouped)
        self._forget_lost()

    def _release(self, suppressed_by: Container[Pair]) -> None:
        """End incidents that recovered earlier and whose resolution is no longer suppressed."""
        for pair in [pair for pair in self._standing.unresolved if pair not in suppressed_by]:
            incident = self._standing.unresolved.pop(pair)
            self.ends.append((incident, Fact.OVER if self._scope.includes(*pair) else Fact.DROPPED))

    def _end(self, pair: Pair, incident: Incident, suppressed_by: Fact, *, is_grouped: bool) -> None:
        """End an incident that is not found, if it has recovered or can no longer be evaluated."""
        evaluation, is_after_a_gap, now = self._evaluation, self._situation.is_after_a_gap, self._evaluation.at
        exchanged_at = evaluation.unproved.get(pair)
        is_unproved = exchanged_at is not None and incident.opened_at <= exchanged_at
        if not is_unproved and self._is_moot(pair, incident):
            self._drop(pair)
            return
        if (limits := evaluation.limits.get(pair)) is not None:
            incident.note_missing(limits, is_continuous=not is_after_a_gap)
        incident.note_heard(evaluation.heard.get(incident.host))
        is_proved = incident.is_outgrown or incident.is_ended_by(evaluation.signs.get(pair))
        if pair not in evaluation.over or not is_proved or is_unproved:
            incident.recovered_since = None
            self._lose(pair, incident, is_grouped=is_grouped)
            return
        if incident.recovered_since is None or is_after_a_gap:  # a gap in the evaluations proves no recovery
            incident.recovered_since = now
        incident.recovered_since = min(incident.recovered_since, now)  # a clock that was set back must not delay it
        # Changed limits end it as soon as the policy allows, because there is no recovery to prove.
        needed_us = 0 if incident.is_outgrown else evaluation.proofs.get(pair, 0)
        proof_us = max(self._policy.proof_us, needed_us)
        # Rounded to ticks, because ticks are never exactly one interval apart.
        if now - incident.recovered_since + self._policy.tick_us // 2 >= proof_us:
            self._resolve(pair, suppressed_by)

    def _is_moot(self, pair: Pair, incident: Incident) -> bool:
        """Return whether an incident of an unknown host was never notified, or cannot be evaluated now."""
        evaluation = self._evaluation
        return pair in evaluation.forgotten and not (incident.is_noticed and pair in evaluation.over)

    def _resolve(self, pair: Pair, suppressed_by: Fact) -> None:
        incident = self._standing.open.pop(pair)
        if incident.last_notified_at is not None and suppressed_by:
            self._standing.unresolved[pair] = incident
        self.resolved.append(incident)
        self.ends.append((incident, Fact.OVER | suppressed_by))

    def _lose(self, pair: Pair, incident: Incident, *, is_grouped: bool) -> None:
        """Mark an incident as lost if its host shows no sign for the whole lookback; drop it if lost for too long."""
        # A host may appear only in the source in which it is missed, so that source must be readable.
        in_scope = self._scope.symptoms
        needed = {incident.symptom, *(symptom for symptom in MISSED if in_scope is None or symptom in in_scope)}
        if not is_host(incident.host) or not needed <= self._evaluation.evaluated:
            return
        now = self._evaluation.at
        if now - incident.last_sign_at <= self._policy.lookback_us(incident.host):
            incident.lost_at = None
        elif incident.lost_at is None and is_grouped and not incident.is_noticed:
            self._drop(pair)  # it was only part of a group, whose alert did not name it
        elif incident.lost_at is None:
            incident.lost_at = now
        elif incident.loss_notified_at is not None and now - incident.lost_at > self._policy.forget_after_us:
            self._drop(pair)

    def _forget_lost(self) -> None:
        """If too many incidents are lost, forget the oldest: invented names may appear, upload once, and go.

        Incidents whose loss was notified are forgotten before others.
        """
        lost = [
            (one.loss_notified_at is None, one.lost_at, pair)
            for pair, one in self._standing.open.items()
            if one.lost_at is not None
        ]
        for _, _, pair in sorted(lost)[: max(0, len(lost) - self._policy.most_remembered)]:
            self._drop(pair)

    def _drop(self, pair: Pair) -> None:
        self.ends.append((self._standing.open.pop(pair), Fact.DROPPED))
