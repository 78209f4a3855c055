"""Turn findings into incidents, and decide on each incident at every evaluation.

An incident is a host with a symptom, from the evaluation that finds it first until it is *seen* to be over. While it
lasts, it is notified once in each UTC hour, or at the intervals of the policy. If another incident is its cause, it is
inhibited, and the alert of the cause names it. A fault that returns after its resolution was notified is another
incident, and is notified at once, with the dedup key of its hour.

`Incidents` holds the incidents and runs the steps of an evaluation in order. Each step has its own module:

    situation      the result of the evaluation, and whether its clock can be trusted
    openings       how an incident opens, or is found again
    endings        how it ends, or is lost
    inhibition     which incidents are suppressed because another one is their cause
    flapping       which incidents come and go
    deciding       the facts that are true of an incident, and the decision that follows from the table of `lifecycle`
    notifications  the texts of alerts and notices

No incident ends, is lost or is forgotten while the clock contradicts our own records, or at an instant before the
latest evaluation.

If a notified incident ends while it is suppressed, its resolution waits. If it returns meanwhile, it continues as if it
had never ended. The resolution of an acknowledged incident does not wait, because it ends the acknowledgement. An
incident that is no longer found when its suppression ends is notified as well. But if its host had no reason or no way
to upload (because of a mute window, or a receiver that was down), it first gets as much time as any other host.

Past alerts are read from `alerts.jsonl` at the start. Everything else that outlives a restart is in `snapshot`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.alerting import flapping
from fleet_health.alerting.alert import LOST, RESOLVED, Alert, Notice, dedup_key
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.causes import cause_first
from fleet_health.alerting.deciding import Decider
from fleet_health.alerting.dedup_keys import DedupKeys
from fleet_health.alerting.ended import EndedIncidents
from fleet_health.alerting.endings import Endings
from fleet_health.alerting.flapping import Flapping
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.inhibition import Inhibition
from fleet_health.alerting.lifecycle import NOTHING, Action, Decision, Fact, Reason, State
from fleet_health.alerting.notifications import notice_of, unfound
from fleet_health.alerting.openings import note_findings
from fleet_health.alerting.scope import Scope
from fleet_health.alerting.situation import Situation, situation_of
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.alerting.standing import Standing
from fleet_health.alerting.suppression import no_suppressions, suppressed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from fleet_health.alerting.endings import Ends
    from fleet_health.alerting.flapping import FlappingHost
    from fleet_health.alerting.suppression import Suppression, Suppressions
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.spec import Finding
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

_ALERTS, _NOTICES = frozenset({Action.NOTIFY, Action.REPEAT}), frozenset({Action.RESOLVE, Action.LOSE})
# The reasons of endings after which the incident is not notified any more.
_FINAL = frozenset({Reason.RECOVERED, Reason.FLAPPING, Reason.FORGOTTEN})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an evaluation. Each list is ordered by host and symptom.

    Attributes:
        decisions: One decision for each incident that was open or ended at the evaluation, and one for each host that
            flaps without an open incident. A cause comes before its effects on the same host.
        alerts: The alerts of decisions to notify or repeat, and of hosts that begin to flap.
        notices: The notices of decisions to resolve or lose, and of hosts that no longer flap.

    """

    decisions: list[Decision]
    alerts: list[Alert]
    notices: list[Notice]


class Incidents:
    """Holds the incidents and decides on them."""

    def __init__(self, policy: AlertPolicy | None = None) -> None:
        self.ended = EndedIncidents()
        """The incidents that were notified and have ended recently."""
        self.at: Instant | None = None
        """The latest evaluation so far; None before the first. It never decreases, even if the clock is set back."""
        self._now: Instant | None = None
        """The evaluation that was recorded last."""
        self._situation = Situation()
        """The result of that evaluation."""
        self._standing = Standing()
        self._policy = policy or AlertPolicy()
        self._scope = Scope()
        self._dedup_keys = DedupKeys()
        self._inhibition = Inhibition()
        self._flapping = Flapping()

    @property
    def open(self) -> dict[Pair, Incident]:
        """The open incidents."""
        return self._standing.open

    @property
    def unresolved(self) -> tuple[Incident, ...]:
        """The incidents that have recovered, but whose resolution is suppressed."""
        return tuple(self._standing.unresolved.values())

    @property
    def anchored(self) -> tuple[str, ...]:
        """The hosts that must keep their place in the fleet, in the order in which their incidents opened."""
        return self._standing.anchored

    @property
    def once_uploaded(self) -> frozenset[str]:
        """The hosts whose uploads are missing: they have uploaded, even if their uploads are forgotten."""
        return self._standing.once_uploaded

    def tune(self, policy: AlertPolicy, scope: Scope) -> None:
        """Replace the policy and the scope. Incidents out of scope are dropped without a notification."""
        self._policy, self._scope = policy, scope

    def update(self, evaluation: Evaluation, suppressions: Suppressions = no_suppressions) -> Outcome:
        """Record an evaluation and return its outcome. Recording it again notifies nothing.

        Args:
            evaluation: The evaluation.
            suppressions: The silences and mute windows at its instant.

        """
        now, grouped = evaluation.at, self._standing.grouped
        situation = self._note_situation(evaluation)
        self._forget_old(now)
        opened = note_findings(self._standing, situation.found, evaluation, self._policy, self._scope)
        endings = Endings(self._standing, evaluation, situation, self._policy, self._scope)
        endings.drop_out_of_scope()
        by_operator = suppressed(self._standing.all, suppressions)
        if situation.shows_ends:
            endings.end(self._suppressed_by(by_operator), grouped)
            self._note_resolved_causes(endings.resolved, now)
        self._inhibit()
        self._note_suppressed(by_operator, grouped, now)
        self._note_openings(opened, now)
        alerts = self._notify_flapping(by_operator, suppressions, now)
        decisions = self._decide(by_operator, endings.ends, now)
        alerts += [self._alert(one, now) for one in decisions if one.action in _ALERTS]
        notices = [self._notice(one, now) for one in decisions if one.action in _NOTICES]
        notices += self._notify_stable(suppressions, now)
        alerts.sort(key=lambda alert: (alert.finding.host, alert.finding.symptom))
        notices.sort(key=lambda notice: (notice.host, notice.symptom))
        return Outcome(decisions, alerts, notices)

    def decisions(self, now: Instant, suppressions: Suppressions = no_suppressions) -> list[Decision]:
        """Return the decision on each open incident at an instant after the latest evaluation. Change nothing.

        These are the decisions of that evaluation if it were made at this instant, under these suppressions.
        """
        decisions = self._decide_on_open(suppressed(self.open, suppressions), now)
        return sorted(decisions, key=lambda decision: cause_first(decision.pair))

    def flapping(self, now: Instant) -> Iterator[Decision]:
        """Yield a decision on each host that was notified as flapping, after the evaluation at an instant."""
        return self._flapping.decisions(now)

    def next_alert_at(
        self, incident: Incident, now: Instant, is_suppressed_at: Callable[[Instant], bool] = lambda _: False
    ) -> Instant | None:
        """Return the tick of the next alert of an incident that lasts; None if that is more than 32 days away.

        Inhibition and flapping are ignored.
        """
        return self._decider.next_alert_at(incident, now, is_suppressed_at)

    def note_sent(self, key: str, detected_at: Instant) -> None:
        """Record an alert that was already sent, by its dedup key."""
        self._dedup_keys.add_row(key, detected_at)

    def note_row(self, host: str, symptom: str, status: str, detected_at: Instant) -> None:
        """Record a row of `alerts.jsonl` that may be later than the snapshot."""
        pair = (host, symptom)
        if not status:
            self.note_sent(dedup_key(host, symptom, detected_at), detected_at)
        if self.at is not None and detected_at <= self.at:
            return
        if status == RESOLVED:
            self._dedup_keys.note_ended(pair, detected_at)
        if symptom == flapping.SYMPTOM:
            if status:
                self._end_flapping([one for one in self._flapping.hosts() if one.host == host], detected_at)
                self._flapping.note_end_notified(host)
            else:
                self._flapping.notified_hosts[host] = detected_at
            return
        if status == RESOLVED:
            over = [self._standing.open.pop(pair, None), self._standing.unresolved.pop(pair, None)]
            self.ended.add(((one, State.RESOLVED) for one in over if one is not None), detected_at)
            return
        incident = self.open.setdefault(pair, Incident(host, symptom, detected_at))
        if status == LOST:
            incident.lost_at = incident.loss_notified_at = detected_at
        else:
            incident.note_notified(max(incident.last_notified_at or detected_at, detected_at))

    def snapshot(self) -> Snapshot:
        """Return what `restore` needs to continue from here.

        Incidents that are alerted as part of a group are left out, because the first evaluation finds them again.
        """
        grouped = self._standing.grouped
        return Snapshot(
            at=self.at,
            open=[one for pair, one in self.open.items() if pair not in grouped or one.is_noticed],
            unresolved=list(self._standing.unresolved.values()),
            released=list(self._inhibition.released.items()),
            openings=list(self._flapping.openings.items()),
            flapping=list(self._flapping.flaps.items()),
            settled=list(self._flapping.settled.items()),
            resolved=list(self._dedup_keys.ended.items()),
            ended=list(self.ended.all),
            dedup_keys=self._dedup_keys.around(*(at for at in (self.at, self._now) if at is not None)),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from a snapshot."""
        self.at = snapshot.at
        self._standing = Standing(snapshot.open, snapshot.unresolved)
        self._inhibition = Inhibition(dict(snapshot.released))
        self._flapping = Flapping(dict(snapshot.openings), dict(snapshot.flapping), dict(snapshot.settled))
        self.ended = EndedIncidents(snapshot.ended)
        self._dedup_keys = DedupKeys(snapshot.dedup_keys, snapshot.resolved)
        for incident in snapshot.open:
            if incident.last_notified_at is not None:
                self._dedup_keys.add(dedup_key(*incident.pair, incident.last_notified_at), incident.last_notified_at)

    def frozen(self) -> Incidents:
        """Return an independent copy, for another thread."""
        other = copy(self)
        other._standing, other._flapping = self._standing.copy(), self._flapping.copy()  # noqa: SLF001 - the same class
        other._dedup_keys, other._inhibition = self._dedup_keys.copy(), copy(self._inhibition)  # noqa: SLF001
        other.ended = EndedIncidents(self.ended.all)
        return other

    def redate(self, latest: Instant) -> None:
        """Move every instant that is later than `latest` to `latest`, after the clock was ahead. See `Standing`."""
        self.at = None if self.at is None else min(self.at, latest)
        self._standing.redate(latest)
        self._dedup_keys.redate(latest)
        self._flapping.redate(latest)

    def _note_situation(self, evaluation: Evaluation) -> Situation:
        """Record the result of an evaluation."""
        before, now = self.at, evaluation.at
        self.at, self._now = now if before is None else max(before, now), now
        self._situation = situation_of(evaluation, before, self._scope, self._policy.tick_us)
        return self._situation

    def _forget_old(self, now: Instant) -> None:
        """Forget what no decision needs any more; nothing while the clock is behind, because ages are unknown."""
        if not self._situation.is_clock_behind:
            self._dedup_keys.prune(now)
            self._inhibition.prune(now, self._policy.tick_us)
            self._flapping.settle(now, self._policy.flap_quiet_us, self._policy.most_remembered)

    def _inhibiting(self) -> list[frozenset[Pair]]:
        """Return what each open incident inhibits. A flapping incident is not notified, so it inhibits nothing."""
        return [
            one.inhibits for pair, one in self.open.items() if one.inhibits and not self._flapping.is_notified(pair)
        ]

    def _suppressed_by(self, by_operator: Mapping[Pair, Suppression]) -> Mapping[Pair, Fact]:
        """Return incident -> the fact that suppresses its resolution: a cause, a silence or a mute window."""
        suppressed_by = dict.fromkeys(self._inhibition.effects_of(self._inhibiting()), Fact.INHIBITED)
        for pair, one in by_operator.items():
            if one.fact is not Fact.ACKNOWLEDGED:
                suppressed_by[pair] = suppressed_by.get(pair, NOTHING) | one.fact
        return suppressed_by

    def _note_resolved_causes(self, resolved: Iterable[Incident], now: Instant) -> None:
        """Release what resolved incidents inhibited. An effect that outlasts its cause has another cause."""
        for incident in resolved:
            self._inhibition.release(incident.inhibits, now, self._policy.tick_us)
            self._flapping.close(incident.pair, now)

    def _inhibit(self) -> None:
        """Update the set of inhibited incidents."""
        found = self._situation.found
        self._inhibition.update(self._inhibiting(), (found, self._standing.unnotified(found)))

    def _note_suppressed(self, by_operator: Mapping[Pair, Suppression], grouped: Container[Pair], now: Instant) -> None:
        """Record on each incident what suppresses it, for when the suppression ends."""
        inhibited, decider = self._inhibition.inhibited, self._decider
        excused = {pair for pair, one in self.open.items() if one.is_absence_excused}
        for pair in excused.union(by_operator, inhibited) & self.open.keys():
            incident, suppression = self.open[pair], by_operator.get(pair)
            is_inhibited = pair in inhibited and pair not in grouped
            is_excused = is_inhibited or (suppression is not None and suppression.fact is Fact.MUTED)
            if is_excused or incident.is_absence_excused:
                incident.note_excused(now, self._policy.absence_us(*pair), is_excused=is_excused)
            is_suppressed = suppression is not None or is_inhibited
            if not is_suppressed or pair not in self._situation.found or decider.is_early(incident, now):
                continue
            if pair not in inhibited:
                incident.was_silenced |= decider.is_due(incident, now)
            incident.was_inhibited |= is_inhibited

    def _note_openings(self, opened: Iterable[Pair], now: Instant) -> None:
        """Count openings, except of inhibited incidents, which come and go with their cause."""
        if self._situation.is_clock_behind:
            return
        for pair in opened:
            if pair not in self._inhibition.inhibited and pair not in self._situation.undecided:
                self._flapping.open(pair, now, self._policy.flap_limit)

    def _notify_flapping(
        self, by_operator: Mapping[Pair, Suppression], suppressions: Suppressions, now: Instant
    ) -> list[Alert]:
        """Return alerts for hosts that begin to flap, and record them. Suppressed hosts wait."""
        alerts, found = list[Alert](), self._situation.found
        pairs = [pair for pair in found if pair not in self._inhibition.inhibited and pair not in by_operator]
        for finding in self._flapping.unnotified(found[pair] for pair in pairs):
            pair = (finding.host, finding.symptom)
            if suppressions(*pair, None) is None and not self._dedup_keys.has(pair, now):
                self._flapping.note_notified(finding.host, pairs, now)
                alerts.append(self._alert_of(finding, now))
        for pair in self._flapping.flaps.keys() & found.keys():
            self.open[pair].was_inhibited |= self._flapping.is_notified(pair)
        return alerts

    def _notify_stable(self, suppressions: Suppressions, now: Instant) -> list[Notice]:
        """Return notices for hosts that no longer flap, unless they are suppressed or the clock is behind."""
        notices = list[Notice]()
        settled = {one.host: one for one in self._flapping.hosts()}
        for host, (since, until) in [] if self._situation.is_clock_behind else sorted(self._flapping.settled.items()):
            pair = (host, flapping.SYMPTOM)
            if suppressions(*pair, None) is None:
                self._end_flapping([settled[host]], now)
                self._flapping.note_end_notified(host)
                self._dedup_keys.note_ended(pair, now)
                notices.append(Notice(RESOLVED, *pair, since, until, now))
        return notices

    def _end_flapping(self, hosts: Iterable[FlappingHost], now: Instant) -> None:
        """Record that the end of the flapping of some hosts was notified."""
        self.ended.add(((one.incident(), State.RESOLVED) for one in hosts), now)

    @property
    def _decider(self) -> Decider:
        return Decider(self._situation, self._policy, self._inhibition, self._flapping, self._dedup_keys)

    def _decide(self, by_operator: Mapping[Pair, Suppression], ends: Ends, now: Instant) -> list[Decision]:
        """Decide on open and ended incidents, and record the ended ones."""
        decider, causes = self._decider, self._standing.causes(self._inhibition.inhibited)
        decided = [decider.decide(one, now, None, causes, facts) for one, facts in ends]
        self.ended.add(((one.incident, one.state) for one in decided if one.reason in _FINAL), now)
        for one in decided:
            if not self._scope.includes(*one.pair):
                self._dedup_keys.note_ended(one.pair, now)
        decisions = [*self._decide_on_open(by_operator, now), *decided]
        return sorted(decisions, key=lambda decision: cause_first(decision.pair))

    def _decide_on_open(self, by_operator: Mapping[Pair, Suppression], now: Instant) -> list[Decision]:
        """Decide on open incidents, and on flapping hosts without an open incident."""
        decider, causes = self._decider, self._standing.causes(self._inhibition.inhibited)
        decisions = [decider.decide(one, now, by_operator.get(pair), causes) for pair, one in self.open.items()]
        return [*decisions, *self._flapping.decisions_without(self.open)]

    def _alert(self, decision: Decision, now: Instant) -> Alert:
        """Return the alert of a decision, and record it."""
        incident = decision.incident
        incident.note_notified(now)
        finding = self._situation.found.get(decision.pair)
        if finding is None:
            finding = unfound(incident, self._policy.lookback_us(incident.host))
        if incident.inhibits:
            finding = replace(finding, inhibits=incident.inhibits)
        alert = replace(self._alert_of(finding, now), is_repeat=decision.action is Action.REPEAT)
        incident.detail, incident.suggested_fix = alert.finding.detail, alert.finding.suggested_fix
        return alert

    def _alert_of(self, finding: Finding, now: Instant) -> Alert:
        """Return the alert of a finding, with what it inhibits, and record its dedup key."""
        if named := self._inhibition.named(finding.inhibits):
            finding = replace(finding, detail=finding.detail + named)
        pair = (finding.host, finding.symptom)
        alert = Alert(finding, now, after=self._dedup_keys.ended_this_hour(pair, now))
        self._dedup_keys.add(alert.dedup_key, now)
        return alert

    def _notice(self, decision: Decision, now: Instant) -> Notice:
        """Return the notice of a decision, and record it."""
        if decision.action is Action.LOSE:
            decision.incident.loss_notified_at = now
        else:
            self._dedup_keys.note_ended(decision.pair, now)
        return notice_of(decision, now)
