"""Which findings become alerts, and when one is over: one decision for each open incident, at each evaluation.

An incident is a host with a symptom, from the evaluation that finds it first until it is *seen* to be over. While it
lasts it is notified once in each UTC hour, or at the intervals that the policy says. Whose cause is itself an incident
is inhibited, and named there. What returns after its resolution was notified is another incident, and is notified at
once, with the dedup key of its hour.

Three things end an incident, and nothing else does: a fact that is newer than the incident (`Incident.is_ended_by`),
limits that were changed so that it is none any more, or that it is no longer looked for. That it is no longer found is
not enough: by a clock that is behind, or after the host has given up, it would not be found either. An incident whose
host shows no sign for the whole lookback is lost: that is reported once, and if nobody was notified of it before, that
is an alert. While the clock contradicts our own records, and at an instant that lies before the latest evaluation,
nothing ends, nothing is lost and nothing is forgotten.

If an incident that was notified ends while it is suppressed, its resolution waits; if it returns meanwhile, it was
never away. That of an acknowledged one does not wait, for it is what ends the acknowledgement. An incident that is no
longer found when its suppression ends is notified too. But if its host had no reason or no way to upload meanwhile (a
mute window, a receiver that was down), it is given as much time as any other first.

What was alerted is said by `alerts.jsonl`, which is read back at the start; what else must outlive a restart is in
`snapshot`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from fleet_health.alerting import flapping
from fleet_health.alerting.alert import LOST, RESOLVED, Alert, Notice, dedup_key
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.causes import cause_first, consequences
from fleet_health.alerting.dedup_keys import DedupKeys
from fleet_health.alerting.ended import EndedIncidents
from fleet_health.alerting.flapping import Flapping
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.inhibition import Inhibition
from fleet_health.alerting.lifecycle import NOTHING, Action, Decision, Fact, Reason, State, row_of
from fleet_health.alerting.scope import Scope
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.alerting.suppression import no_suppressions
from fleet_health.detectors import receiver_down, silent, too_many_hosts, unknown_hosts
from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import HOUR_US, SECOND_US, describe, isoformat, utc_hour
from fleet_health.model.pauses import paused_us
from fleet_health.model.schedule import first_tick_at
from fleet_health.model.subject import EVERY_HOST, is_host

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from fleet_health.alerting.flapping import FlappingHost
    from fleet_health.alerting.suppression import Suppression, Suppressions
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.instant import Instant
    from fleet_health.model.pauses import Pause
    from fleet_health.model.subject import Pair

# Beside a missed tick: nobody has watched if the latest evaluation is longer ago. No machine is busy for so long.
_UNWATCHED_US = 300 * SECOND_US
# How far ahead the next alert is looked for.
_FORESEEN_US = 32 * 24 * HOUR_US

_ALERTS, _NOTICES = frozenset({Action.NOTIFY, Action.REPEAT}), frozenset({Action.RESOLVE, Action.LOSE})
# Of what ended, and nothing more will be notified.
_FINAL = frozenset({Reason.RECOVERED, Reason.FLAPPING, Reason.FORGOTTEN})
_BY_OPERATOR = frozenset({Reason.SILENCED, Reason.ACKNOWLEDGED, Reason.MUTED})
_BY_LAST_NOTIFICATION = frozenset({Reason.NOTIFIED_THIS_HOUR, Reason.NOTIFIED_LATER, Reason.REPEAT_NOT_DUE})

# The bits by themselves: an operation on a flag takes ten times as long, and there may be 10,000 incidents.
_LOST, _LOSS_FIRES, _LOSS_NOTIFIED = map(int, (Fact.LOST, Fact.LOSS_FIRES, Fact.LOSS_NOTIFIED))
_NOT_FOUND, _RECOVERING, _ENDING = map(int, (Fact.NOT_FOUND, Fact.RECOVERING, Fact.ENDING))
_INHIBITS, _INHIBITED, _FLAPPING = map(int, (Fact.INHIBITS, Fact.INHIBITED, Fact.FLAPPING))
_NOTIFIED, _KEPT_BACK, _NOTIFIED_LATER = map(int, (Fact.NOTIFIED, Fact.KEPT_BACK, Fact.NOTIFIED_LATER))
_TOO_EARLY, _UNDECIDED = int(Fact.TOO_EARLY), int(Fact.UNDECIDED)
_WITHIN_GRACE, _NOTIFIED_THIS_HOUR, _NOT_DUE = map(int, (Fact.WITHIN_GRACE, Fact.NOTIFIED_THIS_HOUR, Fact.NOT_DUE))

_DOUBTFUL = "it is no longer found, but it has not been seen to recover"
_DOUBTFUL_FIX = "`fleet-health explain '*'` shows what is missing. `fleet-health status` shows the inhibited incidents."
_HOST_FIX = (
    "If the host should still be there: check that it is up, and that its uploads are accepted. `fleet-health explain"
    " {host}` shows what is known of it."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation leads to, each in the order of host and symptom.

    Attributes:
        decisions: One decision for each incident that was open or ended at the evaluation, and one for each host that
            flaps without an open incident. A cause comes before its effects on the same host.
        alerts: What is notified: the decisions to notify and to repeat, and what flaps.
        notices: The decisions to resolve and to lose, and what flaps no more.

    """

    decisions: list[Decision]
    alerts: list[Alert]
    notices: list[Notice]


class Incidents:
    """Remembers what is open, and what was alerted, hour by hour."""

    def __init__(self, policy: AlertPolicy | None = None) -> None:
        self.open: dict[Pair, Incident] = {}
        self._unresolved: dict[Pair, Incident] = {}
        """What is over, and whose resolution is suppressed."""
        self._found: Mapping[Pair, Finding] = {}
        """What the latest evaluation found."""
        self._undecided: frozenset[Pair] = frozenset()
        """Of what the latest evaluation found, what may have another cause that is not known yet."""
        self._pauses: Sequence[Pause] = ()
        self._is_clock_behind = False
        self._is_clock_uncertain = False
        """Whether the clock was behind or set at the latest evaluation: then nobody knows what is missing."""
        self._resolved: dict[Pair, Instant] = {}
        """When the resolution of an incident was notified, of late."""
        self.ended = EndedIncidents()
        """What was notified, and has ended of late."""
        self._policy = policy or AlertPolicy()
        self._scope = Scope()
        self._dedup_keys = DedupKeys()
        self._inhibition = Inhibition()
        self._flapping = Flapping()
        self.at: Instant | None = None
        """The latest evaluation; None before the first. It never goes back: it tells that a clock did."""
        self._now: Instant | None = None
        """The instant of the evaluation that was taken last."""

    def tune(self, policy: AlertPolicy, scope: Scope) -> None:
        """Go on with another policy. Incidents that are no longer looked for are dropped without a word."""
        self._policy, self._scope = policy, scope

    def remember(self, key: str, detected_at: Instant) -> None:
        """Record an alert that has been given."""
        if not any(detected_at <= at and dedup_key(*pair, at) == key for pair, at in self._resolved.items()):
            self._dedup_keys.add(key, detected_at)

    def recall(self, host: str, symptom: str, status: str, detected_at: Instant) -> None:
        """Record a row of `alerts.jsonl` that may be later than the snapshot."""
        pair = (host, symptom)
        if not status:
            self.remember(dedup_key(host, symptom, detected_at), detected_at)
        if self.at is not None and detected_at <= self.at:
            return
        if status == RESOLVED:
            self._note_resolved(pair, detected_at)
        if symptom == flapping.SYMPTOM:
            if status:
                self._end_flapping([one for one in self._flapping.hosts() if one.host == host], detected_at)
                self._flapping.forget(host)
            else:
                self._flapping.notified_hosts[host] = detected_at
            return
        if status == RESOLVED:
            over = [one for one in (self.open.pop(pair, None), self._unresolved.pop(pair, None)) if one is not None]
            self.ended.add(((one, State.RESOLVED) for one in over), detected_at)
            return
        incident = self.open.setdefault(pair, Incident(host, symptom, detected_at))
        if status == LOST:
            incident.lost_at, incident.is_loss_notified = detected_at, True
        else:
            incident.note_notified(max(incident.last_notified_at or detected_at, detected_at))

    def snapshot(self) -> Snapshot:
        """Return what `restore` needs to go on from here.

        Incidents of a group that is alerted as one are found anew, so only the group is in it.
        """
        grouped = self._grouped
        return Snapshot(
            at=self.at,
            open=[one for pair, one in self.open.items() if pair not in grouped or _is_noticed(one)],
            unresolved=list(self._unresolved.values()),
            released=list(self._inhibition.released.items()),
            openings=list(self._flapping.openings.items()),
            flapping=list(self._flapping.flaps.items()),
            settled=list(self._flapping.settled.items()),
            resolved=list(self._resolved.items()),
            ended=list(self.ended.all),
            dedup_keys=self._dedup_keys.around(*(at for at in (self.at, self._now) if at is not None)),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot."""
        self.at = snapshot.at
        self.open = {(incident.host, incident.symptom): incident for incident in snapshot.open}
        self._unresolved = {(incident.host, incident.symptom): incident for incident in snapshot.unresolved}
        self._inhibition = Inhibition(dict(snapshot.released))
        self._flapping = Flapping(dict(snapshot.openings), dict(snapshot.flapping), dict(snapshot.settled))
        self._resolved = dict(snapshot.resolved)
        self.ended = EndedIncidents(snapshot.ended)
        self._dedup_keys = DedupKeys(snapshot.dedup_keys)
        for incident in self.open.values():
            if incident.last_notified_at is not None:
                self._dedup_keys.add(
                    dedup_key(incident.host, incident.symptom, incident.last_notified_at), incident.last_notified_at
                )

    def redate(self, latest: Instant) -> None:
        """Date nothing later than an instant: the clock that stamped it was ahead, and has been set right."""
        self.at = None if self.at is None else min(self.at, latest)
        for incident in (*self.open.values(), *self._unresolved.values()):
            incident.redate(latest)
        self._resolved = {pair: min(at, latest) for pair, at in self._resolved.items()}
        self._flapping.redate(latest)

    def update(self, evaluation: Evaluation, suppressions: Suppressions = no_suppressions) -> Outcome:
        """Take in an evaluation; return what follows, and remember it. The same evaluation again notifies nothing.

        Args:
            evaluation: The evaluation.
            suppressions: What an operator suppresses at its instant.

        """
        before, now = self.at, evaluation.at
        grouped = self._grouped
        self.at, self._now = now if before is None else max(before, now), now
        self._is_clock_behind, self._pauses = evaluation.is_clock_behind, evaluation.pauses
        self._undecided = evaluation.undecided
        is_back_in_time = before is not None and now < before
        self._is_clock_uncertain = evaluation.is_clock_behind or evaluation.is_clock_stepped or is_back_in_time
        if not evaluation.is_clock_behind:
            self._dedup_keys.prune(now)
            self._resolved = {pair: at for pair, at in self._resolved.items() if abs(now - at) < HOUR_US}
            self._inhibition.prune(now, self._policy.tick_us)
            self._flapping.settle(now, self._policy.flap_quiet_us, self._policy.most_remembered)
        # It may have begun before the latest change of what is looked for.
        looked_for = (finding for finding in evaluation.findings if self._scope.includes(finding.host, finding.symptom))
        self._found = found = {(finding.host, finding.symptom): finding for finding in looked_for}
        opened = self._note(evaluation, found)
        ends: _Ends = []
        for pair in [pair for pair in self.open if not self._scope.includes(*pair)]:
            ends.append((self.open.pop(pair), Fact.DROPPED))
        suppressed = self._suppressed({**self._unresolved, **self.open}, suppressions)
        if not evaluation.is_clock_behind and not is_back_in_time:
            is_back = before is not None and now - before > 2 * self._policy.tick_us + _UNWATCHED_US
            inhibited = self._inhibition.explained(self._explained())
            quiet = {pair: one.fact for pair, one in suppressed.items() if one.fact is not Fact.ACKNOWLEDGED}
            self._release(ends, inhibited.union(quiet))
            self._end(evaluation, ends, is_back=is_back, grouped=grouped, inhibited=inhibited, quiet=quiet)
            self._forget_lost(ends)
        unfound = {pair for pair, one in self.open.items() if pair not in found and _stands_unfound(one)}
        self._inhibition.look(self._explained(), (found, unfound))
        self._note_suppressed(suppressed, grouped, now)
        for pair in () if evaluation.is_clock_behind else opened:
            # What comes and goes with its cause does not flap by itself.
            if pair not in self._inhibition.held and pair not in self._undecided:
                self._flapping.open(pair, now, self._policy.flap_limit)
        alerts = list(self._flaps(suppressed, suppressions, now))
        for pair in self._flapping.flaps.keys() & found.keys():
            self.open[pair].is_held |= self._flapping.is_notified(pair)
        causes = self._causes()
        decisions = [self._decide(one, now, suppressed.get(pair), causes) for pair, one in self.open.items()]
        alerts += [self._alert(decision, now) for decision in decisions if decision.action in _ALERTS]
        decided = [self._decide(one, now, None, causes, facts) for one, facts in ends]
        self.ended.add(((one.incident, one.state) for one in decided if one.reason in _FINAL), now)
        decisions += decided
        decisions += self._decide_on_flapping()
        decisions.sort(key=lambda decision: cause_first(decision.pair))
        alerts.sort(key=lambda alert: (alert.finding.host, alert.finding.symptom))
        notices = [self._notice(one, now) for one in decisions if one.action in _NOTICES]
        if not evaluation.is_clock_behind:
            notices += self._settled(suppressions, now)
        notices.sort(key=lambda notice: (notice.host, notice.symptom))
        return Outcome(decisions, alerts, notices)

    def decisions(self, now: Instant, suppressions: Suppressions = no_suppressions) -> list[Decision]:
        """Return the decision for each open incident at an instant after the latest evaluation; changes nothing.

        It says what that evaluation would decide if it were at this instant, under these suppressions.
        """
        causes, suppressed = self._causes(), self._suppressed(self.open, suppressions)
        decisions = [self._decide(one, now, suppressed.get(pair), causes) for pair, one in self.open.items()]
        return sorted([*decisions, *self._decide_on_flapping()], key=lambda decision: cause_first(decision.pair))

    def frozen(self) -> Incidents:
        """Return a copy that does not change with this one, for another thread."""
        other = copy(self)
        other.open = {pair: copy(incident) for pair, incident in self.open.items()}
        other._unresolved = dict(self._unresolved)  # noqa: SLF001 - it is one of us
        other._dedup_keys, other._flapping = self._dedup_keys.copy(), self._flapping.copy()  # noqa: SLF001
        other.ended = EndedIncidents(self.ended.all)
        other._inhibition, other._resolved = copy(self._inhibition), dict(self._resolved)  # noqa: SLF001
        return other

    def next_alert_at(
        self, incident: Incident, now: Instant, is_suppressed_at: Callable[[Instant], bool] = lambda _: False
    ) -> Instant | None:
        """Return the tick at which an incident is notified next, if it lasts; None if that is too far away to tell.

        What suppresses it for the sake of another incident, or because it flaps, is not looked at.
        """
        pair = (incident.host, incident.symptom)

        def is_notified(at: Instant) -> bool:
            is_due = not self._is_early(incident, at) and not self._is_not_due(incident, at)
            return is_due and not self._dedup_keys.has(pair, at) and not is_suppressed_at(at)

        return first_tick_at(now, now + _FORESEEN_US, self._policy.tick_us, is_notified)

    def flapping(self, now: Instant) -> Iterator[Decision]:
        """Return of each host that was said to flap how that stands after the evaluation at an instant."""
        for one in self._flapping.hosts():
            state = State.FLAPPING if one.ended_at is None else State.RESOLVED
            reason = Reason.FLAPPING if one.ended_at is None else Reason.RESOLVED_LATER
            action = Action.NOTIFY if one.notified_at == now and one.ended_at is None else Action.NONE
            yield Decision(_flapping_incident(one), state, action, reason, "")

    @property
    def unresolved(self) -> tuple[Incident, ...]:
        """What is over, and whose resolution is suppressed."""
        return tuple(self._unresolved.values())

    @property
    def anchored(self) -> tuple[str, ...]:
        """The hosts that must not lose their place: those with an open incident that was notified, the oldest first.

        So must those that are silent or lost. What is inhibited does not count, or a stranger could have as many places
        as names are refused often enough.
        """
        grouped = self._grouped
        anchored = [
            one
            for pair, one in self.open.items()
            if is_host(one.host)
            and ((one.symptom == silent.SYMPTOM and pair not in grouped) or (_is_noticed(one) and one.lost_at is None))
        ]
        return tuple(dict.fromkeys(one.host for one in sorted(anchored, key=lambda one: one.opened_at)))

    @property
    def once_uploaded(self) -> frozenset[str]:
        """The hosts that have uploaded, though it may soon be forgotten when: those that are silent or lost."""
        return frozenset(host for host, symptom in self.open if symptom == silent.SYMPTOM)

    @property
    def _grouped(self) -> frozenset[Pair]:
        """What is alerted as one of many: hosts that never uploaded, or that turned up while the table was full."""
        groups = (self.open.get((EVERY_HOST, symptom)) for symptom in (unknown_hosts.SYMPTOM, too_many_hosts.SYMPTOM))
        return frozenset[tuple[str, str]]().union(*(group.explains for group in groups if group is not None))

    def _note(self, evaluation: Evaluation, found: Mapping[Pair, Finding]) -> list[Pair]:
        """Record the findings; return the incidents that are new among them."""
        now, opened = evaluation.at, []
        for pair, finding in found.items():
            incident = self.open.get(pair)
            if incident is None and (incident := self._unresolved.pop(pair, None)) is not None:
                self.open[pair] = incident
            elif incident is None:
                incident = self.open[pair] = Incident(*pair, now)
                opened.append(pair)
            heard_at = evaluation.heard.get(finding.host)
            incident.note_found(evaluation.limits.get(pair, ""), evaluation.signs.get(pair), heard_at)
            incident.note_since(finding.since)
            incident.detail, incident.suggested_fix = finding.detail, finding.suggested_fix
            # What it explained, and is found no more though it stands, it still explains.
            unfound = (other for other in incident.explains - finding.explains if other not in found)
            incident.explains = finding.explains.union(other for other in unfound if other in self.open)
        of_one_fault = {
            pair: one.opened_at
            for pair, one in self.open.items()
            if is_host(one.host) and self._policy.is_one_fault(one.host)
        }
        for pair, others in consequences(of_one_fault).items():
            self.open[pair].explains |= others
        for host, last_at in evaluation.gone.items():  # nobody watched when it could have been found silent
            pair = (host, silent.SYMPTOM)
            if now - last_at > self._policy.forget_after_us or not self._scope.includes(*pair) or pair in self.open:
                continue
            before = self._unresolved.pop(pair) if pair in self._unresolved else None
            self.open[pair] = before or Incident(*pair, last_at, began_at=last_at, sign_at=last_at)
            if (down := self.open.get((EVERY_HOST, receiver_down.SYMPTOM))) is not None:
                down.explains |= {pair}
        return opened

    @staticmethod
    def _suppressed(incidents: Mapping[Pair, Incident], suppressions: Suppressions) -> dict[Pair, Suppression]:
        """Return what an operator suppresses of some incidents."""
        found = ((pair, suppressions(*pair, one.opened_at)) for pair, one in incidents.items())
        return {pair: suppression for pair, suppression in found if suppression is not None}

    def _explained(self) -> list[frozenset[Pair]]:
        """Return what each open incident inhibits. One that flaps inhibits nothing, for nobody hears of it."""
        return [
            one.explains for pair, one in self.open.items() if one.explains and not self._flapping.is_notified(pair)
        ]

    def _note_suppressed(self, suppressed: Mapping[Pair, Suppression], grouped: Container[Pair], now: Instant) -> None:
        """Record of each incident what of it is suppressed, for the time after that."""
        held = self._inhibition.held
        excused = {pair for pair, one in self.open.items() if one.is_absence_excused}
        for pair in excused.union(suppressed, held) & self.open.keys():
            incident, suppression = self.open[pair], suppressed.get(pair)
            is_held = pair in held and pair not in grouped
            is_excused = is_held or (suppression is not None and suppression.fact is Fact.MUTED)
            if is_excused or incident.is_absence_excused:
                incident.note_excused(now, self._policy.absence_us(*pair), is_excused=is_excused)
            if (suppression is None and not is_held) or pair not in self._found or self._is_early(incident, now):
                continue
            if pair not in held:
                incident.is_muted |= not self._is_not_due(incident, now)
            incident.is_held |= is_held

    def _decide(
        self,
        incident: Incident,
        now: Instant,
        suppression: Suppression | None,
        causes: Mapping[Pair, Sequence[Pair]],
        facts: int = 0,
    ) -> Decision:
        """Look an incident up in the table, by what is true of it and by further facts."""
        row = row_of(facts | self._facts(incident, now, suppression))
        detail = ""
        if suppression is not None and row.reason in _BY_OPERATOR:
            detail = suppression.detail
        elif row.reason is Reason.INHIBITED:
            detail = _in_words(causes.get((incident.host, incident.symptom), ()))
        elif row.reason in _BY_LAST_NOTIFICATION and incident.last_notified_at is not None:
            detail = f"{isoformat(incident.last_notified_at)[:19]}Z"
        return Decision(incident, row.state, row.action, row.reason, detail)

    def _decide_on_flapping(self) -> Iterator[Decision]:
        """Decide on each host that flaps and has nothing open that does: it is in a good phase, and not well."""
        for host, (since, symptoms) in self._flapping.between(self.open).items():
            yield Decision(
                Incident(host, flapping.SYMPTOM, since, last_notified_at=since),
                State.FLAPPING,
                Action.NONE,
                Reason.FLAPPING,
                ", ".join(symptoms),
            )

    def _causes(self) -> Mapping[Pair, Sequence[Pair]]:
        """Return what is inhibited, each with the open incidents that are its cause."""
        causes: dict[Pair, list[Pair]] = {}
        for cause, incident in self.open.items():
            for pair in incident.explains & self._inhibition.held if incident.explains else ():
                causes.setdefault(pair, []).append(cause)
        return causes

    def _facts(self, incident: Incident, now: Instant, suppression: Suppression | None) -> int:
        """Return what is true of an incident, as the bits of `Fact`."""
        pair = (incident.host, incident.symptom)
        recovering_us = None if incident.recovered_since is None else now - incident.recovered_since
        is_ending = recovering_us is not None and recovering_us < 2 * self._policy.tick_us
        facts = 0 if pair in self._found else self._unfound_facts(incident, now)
        for fact, is_true in (
            (_RECOVERING, recovering_us is not None),
            (_ENDING, is_ending),
            (_INHIBITS, not is_ending and bool(incident.explains & self._inhibition.held)),
            (_INHIBITED, pair in self._inhibition.held),
            (_FLAPPING, self._flapping.is_notified(pair)),
            (_NOTIFIED, incident.last_notified_at is not None),
            (
                _NOTIFIED_LATER,
                self._is_clock_behind and incident.last_notified_at is not None and incident.last_notified_at > now,
            ),
            (_UNDECIDED, pair in self._undecided),
            (_WITHIN_GRACE, self._is_early(incident, now) or self._is_given_time(incident, now)),
            (_NOTIFIED_THIS_HOUR, self._dedup_keys.has(pair, now)),
            (_NOT_DUE, self._is_not_due(incident, now)),
        ):
            if is_true:
                facts |= fact
        return facts if suppression is None else facts | int(suppression.fact)

    def _unfound_facts(self, incident: Incident, now: Instant) -> int:
        """Return what is true of an incident that is not found, beside what may be true of any."""
        is_lost = incident.lost_at is not None
        facts = _NOT_FOUND
        for fact, is_true in (
            (_LOST, is_lost),
            (_LOSS_FIRES, is_lost and self._does_loss_fire(incident, now)),
            (_LOSS_NOTIFIED, incident.is_loss_notified),
            (_KEPT_BACK, incident.is_kept_back),
            (_TOO_EARLY, self._is_clock_uncertain or incident.is_too_early(now)),
        ):
            if is_true:
                facts |= fact
        return facts

    def _does_loss_fire(self, incident: Incident, now: Instant) -> bool:
        """Return whether nobody was notified of an incident before it was lost, or not for a whole lookback since."""
        if incident.last_notified_at is None:
            return True
        since = incident.first_notified_lost_at
        return since is not None and now - since <= self._policy.lookback_us(incident.host)

    def _is_early(self, incident: Incident, now: Instant) -> bool:
        # Time in which no host could upload is none that a host has stayed away for.
        counted_from = incident.opened_at + paused_us(self._pauses, incident.opened_at, now)
        return self._policy.is_within_grace((incident.host, incident.symptom), counted_from, now)

    def _is_given_time(self, incident: Incident, now: Instant) -> bool:
        """Return whether an incident that its cause has just let go is given time: its host could not upload before."""
        pair, waits_until = (incident.host, incident.symptom), incident.waits_until
        is_let_go = incident.is_held and incident.last_notified_at is None
        return is_let_go and pair in self._found and waits_until is not None and now < waits_until

    def _is_not_due(self, incident: Incident, now: Instant) -> bool:
        return not self._policy.is_due(incident.opened_at, incident.last_notified_at, now)

    def _flaps(
        self, suppressed: Mapping[Pair, Suppression], suppressions: Suppressions, now: Instant
    ) -> Iterable[Alert]:
        """Notify what flaps from now on, and remember that; it is notified as ever if that cannot be done now."""
        found = self._found
        pairs = [pair for pair in found if pair not in self._inhibition.held and pair not in suppressed]
        for finding in self._flapping.untold(found[pair] for pair in pairs):
            pair = (finding.host, finding.symptom)
            if suppressions(*pair, None) is None and not self._dedup_keys.has(pair, now):
                self._flapping.tell(finding.host, pairs, now)
                yield self._alert_of(finding, now)

    def _alert(self, decision: Decision, now: Instant) -> Alert:
        """Return the alert that was decided on, and remember it."""
        is_repeat = decision.action is Action.REPEAT
        decision.incident.note_notified(now)
        finding = self._found.get(decision.pair) or self._unfound(decision.incident)
        if decision.incident.explains:
            finding = replace(finding, explains=decision.incident.explains)
        alert = replace(self._alert_of(finding, now), is_repeat=is_repeat)
        decision.incident.detail = alert.finding.detail
        decision.incident.suggested_fix = alert.finding.suggested_fix
        return alert

    def _unfound(self, incident: Incident) -> Finding:
        """Return what an alert says of an incident that stands, and that no detector finds any more."""
        fix = _HOST_FIX.format(host=incident.host) if is_host(incident.host) else _DOUBTFUL_FIX
        detail = _DOUBTFUL
        if incident.lost_at is not None:
            missing = "accepted upload" if incident.symptom == silent.SYMPTOM else "row or response"
            lookback = describe(self._policy.lookback_us(incident.host))
            detail = f"no {missing} since {isoformat(incident.last_sign_at)}, not in the whole lookback ({lookback}):"
            detail += " the host is lost, and nobody was notified of it before"
        return Finding(incident.host, incident.symptom, detail, fix, incident.explains)

    def _notice(self, decision: Decision, now: Instant) -> Notice:
        """Return the notice that was decided on, and remember it."""
        incident = decision.incident
        if decision.action is Action.LOSE:
            incident.is_loss_notified = True
            return Notice(LOST, *decision.pair, incident.since, now, now)
        self._note_resolved(decision.pair, now)
        ended_at = now if incident.recovered_since is None else incident.recovered_since
        return Notice(RESOLVED, *decision.pair, incident.since, ended_at, now)

    def _settled(self, suppressions: Suppressions, now: Instant) -> Iterator[Notice]:
        """Notify of each host that flapped that it does no more, unless that is suppressed."""
        settled = {one.host: one for one in self._flapping.hosts()}
        for host, (since, until) in sorted(self._flapping.settled.items()):
            pair = (host, flapping.SYMPTOM)
            if suppressions(*pair, None) is None:
                self._end_flapping([settled[host]], now)
                self._flapping.forget(host)
                self._note_resolved(pair, now)
                yield Notice(RESOLVED, *pair, since, until, now)

    def _end_flapping(self, hosts: Iterable[FlappingHost], now: Instant) -> None:
        """Record of some hosts that it is notified that they flap no more."""
        self.ended.add(((_flapping_incident(one), State.RESOLVED) for one in hosts), now)

    def _note_resolved(self, pair: Pair, now: Instant) -> None:
        """Record that a resolution was notified: what comes after it is another incident, also within the hour."""
        self._resolved[pair] = now
        self._dedup_keys.discard(pair, now)

    def _alert_of(self, finding: Finding, now: Instant) -> Alert:
        """Return the alert of a finding, with what it inhibits, and remember it."""
        if named := self._inhibition.named(finding.explains):
            finding = replace(finding, detail=finding.detail + named)
        resolved_at = self._resolved.get((finding.host, finding.symptom))
        is_of_this_hour = resolved_at is not None and utc_hour(resolved_at) == utc_hour(now)
        alert = Alert(finding, now, after=resolved_at if is_of_this_hour else None)
        self._dedup_keys.add(alert.dedup_key, now)
        return alert

    def _end(
        self,
        evaluation: Evaluation,
        ends: _Ends,
        *,
        is_back: bool,
        grouped: Container[Pair],
        inhibited: Container[Pair],
        quiet: Mapping[Pair, Fact],
    ) -> None:
        """Note which incidents are over, lost, or no longer to be known; those that end are open no more."""
        now = evaluation.at
        for pair, incident in list(self.open.items()):
            if pair in self._found:
                continue
            exchanged_at = evaluation.unproved.get(pair)
            is_unproved = exchanged_at is not None and incident.opened_at <= exchanged_at
            if not is_unproved and _is_moot(incident, evaluation):
                ends.append((self.open.pop(pair), Fact.DROPPED))
                continue
            if (limits := evaluation.limits.get(pair)) is not None:
                incident.note_missing(limits, is_continuous=not is_back)
            incident.note_heard(evaluation.heard.get(incident.host))
            is_proved = incident.is_outgrown or incident.is_ended_by(evaluation.signs.get(pair))
            if pair in evaluation.over and is_proved and not is_unproved:
                if incident.recovered_since is None or is_back:  # time that nobody watched proves nothing
                    incident.recovered_since = now
                incident.recovered_since = min(
                    incident.recovered_since, now
                )  # a clock that was set back must not put it off
                # To the nearest tick, for no two ticks are exactly one apart.
                if now - incident.recovered_since + self._policy.tick_us // 2 >= self._policy.proof_us:
                    fact = Fact.INHIBITED if pair in inhibited else NOTHING
                    self._resolve(pair, now, ends, fact | quiet.get(pair, NOTHING))
            else:
                incident.recovered_since = None
                self._lose(pair, incident, evaluation, ends, is_grouped=pair in grouped)

    def _forget_lost(self, ends: _Ends) -> None:
        """Forget the hosts that were lost first if there are too many: names may come, upload once, and go.

        Those whose loss was reported give way first.
        """
        lost = [
            (not one.is_loss_notified, one.lost_at, pair) for pair, one in self.open.items() if one.lost_at is not None
        ]
        for _, _, pair in sorted(lost)[: max(0, len(lost) - self._policy.most_remembered)]:
            ends.append((self.open.pop(pair), Fact.DROPPED))

    def _resolve(self, pair: Pair, now: Instant, ends: _Ends, suppressed_by: Fact) -> None:
        incident = self.open.pop(pair)
        if incident.last_notified_at is not None and suppressed_by:
            self._unresolved[pair] = incident
        self._inhibition.release(incident.explains, now, self._policy.tick_us)
        self._flapping.close(pair, now)
        ends.append((incident, Fact.OVER | suppressed_by))

    def _release(self, ends: _Ends, kept_quiet: Container[Pair]) -> None:
        """End what was over before, as far as nothing suppresses its resolution any more."""
        for pair in [pair for pair in self._unresolved if pair not in kept_quiet]:
            incident = self._unresolved.pop(pair)
            ends.append((incident, Fact.OVER if self._scope.includes(*pair) else Fact.DROPPED))

    def _lose(self, pair: Pair, incident: Incident, evaluation: Evaluation, ends: _Ends, *, is_grouped: bool) -> None:
        """Handle an incident that is neither found nor over: its host may have shown no sign for the whole lookback."""
        # A silent host may show in the index alone. So both sources must be seen, unless `silent` is switched off.
        looks_for_silent = self._scope.symptoms is None or silent.SYMPTOM in self._scope.symptoms
        needed = {incident.symptom, silent.SYMPTOM} if looks_for_silent else {incident.symptom}
        if not is_host(incident.host) or not needed <= evaluation.evaluated:
            return
        now = evaluation.at
        if now - incident.last_sign_at <= self._policy.lookback_us(incident.host):
            incident.lost_at = None
            incident.is_loss_notified = False
        elif incident.lost_at is None and is_grouped and not _is_noticed(incident):
            ends.append((self.open.pop(pair), Fact.DROPPED))  # it was only ever one of many, and nobody knows its name
        elif incident.lost_at is None:
            incident.lost_at = now
        elif incident.is_loss_notified and now - incident.lost_at > self._policy.forget_after_us:
            ends.append((self.open.pop(pair), Fact.DROPPED))


_Ends: TypeAlias = list[tuple[Incident, int]]
"""The incidents that are open no more, each with the fact that ended it."""


def _flapping_incident(one: FlappingHost) -> Incident:
    """Return that a host flaps, as an incident."""
    return Incident(
        one.host,
        flapping.SYMPTOM,
        one.since,
        first_notified_at=one.since,
        last_notified_at=one.notified_at,
        recovered_since=one.ended_at,
        detail=one.detail,
        suggested_fix=flapping.SUGGESTED_FIX,
    )


def _stands_unfound(incident: Incident) -> bool:
    """Return whether an incident stands, though it may not be found, and nobody was notified of it."""
    is_unnotified = incident.is_kept_back or (incident.lost_at is not None and incident.last_notified_at is None)
    return incident.recovered_since is None and is_unnotified


def _is_noticed(incident: Incident) -> bool:
    """Return whether an incident was notified, or would have been if nobody had silenced it."""
    return incident.last_notified_at is not None or incident.is_muted


def _is_moot(incident: Incident, evaluation: Evaluation) -> bool:
    """Return whether a stranger's incident can be dropped: nobody was notified, or it cannot be evaluated any more."""
    pair = (incident.host, incident.symptom)
    return pair in evaluation.forgotten and not (_is_noticed(incident) and pair in evaluation.over)


def _in_words(causes: Iterable[Pair]) -> str:
    """Name the causes of what is inhibited; without any, they ended within the last tick."""
    return ", ".join(f"{host} {symptom}" for host, symptom in sorted(causes)) or "an incident that has just ended"
