"""Which findings become alerts, and when one is over.

An incident is a host with a symptom, from the evaluation that finds it first until it is *seen* to be over. While it
lasts it is told of once in each UTC hour, or at the intervals that the policy says. Whose cause is itself an incident
is held back, and named there.

Three things end an incident, and nothing else does: a fact that is newer than the incident (`Incident.is_ended_by`),
limits that were changed so that it is none any more, or that it is no longer looked for. That it is no longer found is
not enough: by a clock that is behind, or after the host has given up, it would not be found either. An incident whose
host shows no sign for the whole lookback is lost: that is reported once. While the clock contradicts our own records,
and at an instant that lies before the latest evaluation, nothing ends, nothing is lost and nothing is forgotten.

What was alerted is said by `alerts.jsonl`, which is read back at the start; what else must outlive a restart is in
`snapshot`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.alerting import flapping
from fleet_health.alerting.alert import LOST, RESOLVED, Alert, Notice, dedup_key
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.dedup_keys import ToldKeys
from fleet_health.alerting.flapping import Flapping
from fleet_health.alerting.incident import Incident, Snapshot
from fleet_health.alerting.inhibition import Inhibition
from fleet_health.alerting.scope import Scope
from fleet_health.detectors import silent, too_many_hosts, unknown_hosts
from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.schedule import first_tick_at
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

# Beside a missed tick: nobody has watched if the latest evaluation is longer ago. No machine is busy for so long.
_UNWATCHED_US = 300 * SECOND_US
# How far ahead the next alert is looked for.
_FORESEEN_US = 32 * 24 * HOUR_US

_DOUBTFUL = "it is no longer found, and not yet seen to be over"
_DOUBTFUL_FIX = "`fleet-health explain '*'` shows what is missing. `fleet-health status` shows the hosts held back."


@dataclass(frozen=True, slots=True)
class News:
    """What an evaluation gives to tell, each in the order of host and symptom."""

    alerts: list[Alert]
    notices: list[Notice]


class Incidents:
    """Remembers what is open, and what was alerted, hour by hour."""

    def __init__(self, policy: AlertPolicy | None = None) -> None:
        self.open: dict[Pair, Incident] = {}
        self.muted: frozenset[Pair] = frozenset()
        """What the latest evaluation found, and is silenced."""
        self._policy = policy or AlertPolicy()
        self._scope = Scope()
        self._told = ToldKeys()
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
        """Take note of an alert that has been given."""
        self._told.add(key, detected_at)

    def recall(self, host: str, symptom: str, status: str, detected_at: Instant) -> None:
        """Take note of a row of `alerts.jsonl` that may be later than the snapshot."""
        pair = (host, symptom)
        if not status:
            self._told.add(dedup_key(host, symptom, detected_at), detected_at)
        if self.at is not None and detected_at <= self.at:
            return
        if symptom == flapping.SYMPTOM:
            self._flapping.said_of.add(host)
            return
        if status == RESOLVED:
            self.open.pop(pair, None)
            return
        incident = self.open.setdefault(pair, Incident(host, symptom, detected_at))
        if status == LOST:
            incident.lost_at = detected_at
        else:
            incident.told_at = max(incident.told_at or detected_at, detected_at)

    def snapshot(self) -> Snapshot:
        """Give what `restore` needs to go on from here.

        Incidents of a group that is alerted as one are found anew, so only the group is in it.
        """
        grouped = self._grouped
        return Snapshot(
            at=self.at,
            open=[one for pair, one in self.open.items() if pair not in grouped or _is_noticed(one)],
            released=list(self._inhibition.released.items()),
            openings=list(self._flapping.openings.items()),
            flapping=list(self._flapping.flaps.items()),
            told=self._told.around(*(at for at in (self.at, self._now) if at is not None)),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot."""
        self.at = snapshot.at
        self.open = {(incident.host, incident.symptom): incident for incident in snapshot.open}
        self._inhibition = Inhibition(dict(snapshot.released))
        self._flapping = Flapping(dict(snapshot.openings), dict(snapshot.flapping))
        self._told = ToldKeys(snapshot.told)
        for incident in self.open.values():
            if incident.told_at is not None:
                self._told.add(dedup_key(incident.host, incident.symptom, incident.told_at), incident.told_at)

    def redate(self, latest: Instant) -> None:
        """Date nothing later than an instant: the clock that stamped it was ahead, and has been set right."""
        self.at = None if self.at is None else min(self.at, latest)
        for incident in self.open.values():
            incident.redate(latest)
        self._flapping.redate(latest)

    def take(self, evaluation: Evaluation, is_muted: Callable[[str, str], bool] = lambda *_: False) -> News:
        """Take in an evaluation; give what is to be told, and remember it. The same evaluation again gives nothing.

        Args:
            evaluation: The evaluation.
            is_muted: Says of a host and symptom whether alerts are unwanted at present.

        """
        before, now = self.at, evaluation.at
        grouped = self._grouped
        self.at, self._now = now if before is None else max(before, now), now
        if not evaluation.is_clock_behind:
            self._told.prune(now)
            self._flapping.settle(now, self._policy.flap_quiet_us, self._policy.most_remembered)
        # It may have begun before the latest change of what is looked for.
        looked_for = (finding for finding in evaluation.findings if self._scope.includes(finding.host, finding.symptom))
        found = {(finding.host, finding.symptom): finding for finding in looked_for}
        opened = self._note(evaluation, found)
        for pair in [pair for pair in self.open if not self._scope.includes(*pair)]:
            del self.open[pair]
        notices: list[Notice] = []
        if not evaluation.is_clock_behind and (before is None or now >= before):
            is_back = before is not None and now - before > 2 * self._policy.tick_us + _UNWATCHED_US
            notices = self._end(evaluation, found, is_back=is_back, grouped=grouped)
            self._forget_lost()
        causes = [one.explains for one in self.open.values() if one.explains and self._is_heard_of(one, is_muted, now)]
        self._inhibition.look(causes, found, now, self._policy.tick_us, keeps_released=evaluation.is_clock_behind)
        self.muted = frozenset(pair for pair in found if pair not in self.held and is_muted(*pair))
        for pair in self.muted:
            incident = self.open[pair]
            incident.is_muted |= self._policy.is_due(pair, incident.opened_at, incident.told_at, now)
        for pair in () if evaluation.is_clock_behind else opened:
            if pair not in self.held:  # what comes and goes with its cause does not flap by itself
                self._flapping.open(pair, now, self._policy.flap_limit)
        alerts = [*self._flaps(found, is_muted, now), *self._due(found, evaluation)]
        alerts += self._doubtful(found, is_muted, evaluation)
        alerts.sort(key=lambda alert: (alert.finding.host, alert.finding.symptom))
        notices.sort(key=lambda notice: (notice.host, notice.symptom))
        return News(alerts, notices)

    def next_alert_at(
        self, incident: Incident, now: Instant, is_muted_at: Callable[[Instant], bool] = lambda _: False
    ) -> Instant | None:
        """Say at which tick an incident is told of next, if it lasts; None if that is too far away to tell.

        What holds it back for the sake of another incident, or because it flaps, is not looked at.
        """
        policy, pair = self._policy, (incident.host, incident.symptom)

        def is_told(at: Instant) -> bool:
            is_due = policy.is_due(pair, incident.opened_at, incident.told_at, at)
            return is_due and not self._told.has(pair, at) and not is_muted_at(at)

        return first_tick_at(now, now + _FORESEEN_US, policy.tick_us, is_told)

    @property
    def held(self) -> frozenset[Pair]:
        """What the latest evaluation found, and whose alerts are held back."""
        return self._inhibition.held

    @property
    def flapping(self) -> frozenset[Pair]:
        """What comes and goes, and is not told of for that reason."""
        return frozenset(pair for pair, flap in self._flapping.flaps.items() if flap.is_told)

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
            if one.host != EVERY_HOST
            and ((one.symptom == silent.SYMPTOM and pair not in grouped) or (_is_noticed(one) and one.lost_at is None))
        ]
        return tuple(dict.fromkeys(one.host for one in sorted(anchored, key=lambda one: one.opened_at)))

    @property
    def lost(self) -> frozenset[str]:
        """The hosts that are lost."""
        return frozenset(incident.host for incident in self.open.values() if incident.lost_at is not None)

    @property
    def once_shipped(self) -> frozenset[str]:
        """The hosts that have shipped, though it may soon be forgotten when: those that are silent or lost."""
        return frozenset(host for host, symptom in self.open if symptom == silent.SYMPTOM)

    def unknown(self, evaluation: Evaluation) -> int:
        """Count the open incidents that an evaluation neither found nor saw to be over by a new fact."""
        found = {(finding.host, finding.symptom) for finding in evaluation.findings}
        return sum(
            incident.lost_at is None and pair not in found and incident.well_since is None
            for pair, incident in self.open.items()
        )

    @property
    def _grouped(self) -> frozenset[Pair]:
        """What is alerted as one of many: hosts that never uploaded, or that turned up while the table was full."""
        groups = (self.open.get((EVERY_HOST, symptom)) for symptom in (unknown_hosts.SYMPTOM, too_many_hosts.SYMPTOM))
        return frozenset[tuple[str, str]]().union(*(group.explains for group in groups if group is not None))

    def _note(self, evaluation: Evaluation, found: Mapping[Pair, Finding]) -> list[Pair]:
        """Take note of the findings; give the incidents that are new among them."""
        now, opened = evaluation.at, []
        for pair, finding in found.items():
            incident = self.open.get(pair)
            if incident is None:
                incident = self.open[pair] = Incident(*pair, now)
                opened.append(pair)
            heard_at = evaluation.heard.get(finding.host)
            incident.note_found(evaluation.limits.get(pair, ""), evaluation.signs.get(pair), heard_at)
            incident.explains = finding.explains
        for host, last_at in evaluation.gone.items():  # nobody watched when it could have been found silent
            if now - last_at <= self._policy.forget_after_us:
                self.open.setdefault((host, silent.SYMPTOM), Incident(host, silent.SYMPTOM, last_at))
        return opened

    def _is_heard_of(self, incident: Incident, is_muted: Callable[[str, str], bool], now: Instant) -> bool:
        """Say whether somebody hears of an incident, or wants not to: else it must hold nothing back.

        Of one that flaps nobody does, nor of one that is back within the hour that has had its alert, and its end.
        """
        pair = (incident.host, incident.symptom)
        if self._flapping.is_told(pair):
            return False
        if incident.told_at is not None or not self._flapping.came_before(pair, incident.opened_at):
            return True
        return is_muted(*pair) or not self._told.has(pair, now)

    def _flaps(
        self, found: Mapping[Pair, Finding], is_muted: Callable[[str, str], bool], now: Instant
    ) -> Iterable[Alert]:
        """Tell what flaps from now on, and remember that; it is told of as ever if that cannot be said now."""
        pairs = [pair for pair in found if pair not in self.held and pair not in self.muted]
        for finding in self._flapping.untold(found[pair] for pair in pairs):
            if not is_muted(finding.host, finding.symptom) and (alerts := self._unless_given(finding, now)):
                self._flapping.tell(finding.host, pairs)
                yield from alerts

    def _due(self, found: Mapping[Pair, Finding], evaluation: Evaluation) -> Iterable[Alert]:
        """Tell of what is found and due; and remember that."""
        now = evaluation.at
        for pair, finding in found.items():
            incident = self.open[pair]
            is_quiet = pair in self.held or pair in self.muted or self._flapping.is_told(pair)
            if is_quiet or _is_told_later(incident, evaluation):
                continue
            if not self._policy.is_due(pair, incident.opened_at, incident.told_at, now):
                continue
            for alert in self._unless_given(finding, now):
                incident.told_at = now
                yield alert

    def _doubtful(
        self, found: Mapping[Pair, Finding], is_muted: Callable[[str, str], bool], evaluation: Evaluation
    ) -> Iterable[Alert]:
        """Tell, as often as of what is found, of what is not, and yet holds others back: those must be named."""
        now = evaluation.at
        for pair, incident in self.open.items():
            # One that is about to end is not worth another word.
            is_ending = incident.well_since is not None and now - incident.well_since < 2 * self._policy.tick_us
            is_quiet = is_ending or self._flapping.is_told(pair) or is_muted(*pair)
            if pair in found or is_quiet or not incident.explains & self.held:
                continue
            if _is_told_later(incident, evaluation):
                continue
            if self._policy.is_due(pair, incident.opened_at, incident.told_at, now):
                finding = Finding(*pair, _DOUBTFUL, _DOUBTFUL_FIX, incident.explains)
                for alert in self._unless_given(finding, now):
                    incident.told_at = now
                    yield alert

    def _unless_given(self, finding: Finding, now: Instant) -> list[Alert]:
        """Give the alert of a finding, with what it holds back, and remember it; nothing if this hour has had it."""
        if self._told.has((finding.host, finding.symptom), now):
            return []
        if named := self._inhibition.named(finding.explains):
            finding = replace(finding, detail=finding.detail + named)
        alert = Alert(finding, now)
        self._told.add(alert.dedup_key, now)
        return [alert]

    def _end(
        self, evaluation: Evaluation, found: dict[Pair, Finding], *, is_back: bool, grouped: Container[Pair]
    ) -> list[Notice]:
        """End the incidents that are over, or have become moot; give what is to be said of it."""
        now, notices = evaluation.at, []
        for pair, incident in list(self.open.items()):
            if pair in found:
                continue
            if _is_moot(incident, evaluation):
                del self.open[pair]
                continue
            if (limits := evaluation.limits.get(pair)) is not None:
                incident.note_missing(limits, is_continuous=not is_back)
            incident.note_heard(evaluation.heard.get(incident.host))
            is_proved = incident.is_outgrown or incident.is_ended_by(evaluation.signs.get(pair))
            if pair in evaluation.over and is_proved:
                if incident.well_since is None or is_back:  # time that nobody watched proves nothing
                    incident.well_since = now
                incident.well_since = min(incident.well_since, now)  # a clock that was set back must not put it off
                # To the nearest tick, for no two ticks are exactly one apart.
                if now - incident.well_since + self._policy.tick_us // 2 >= self._policy.proof_us:
                    notices += self._resolve(pair, incident, now)
            else:
                incident.well_since = None
                lost = self._lose(pair, incident, evaluation)
                if lost and pair in grouped and not _is_noticed(incident):
                    del self.open[pair]  # it was only ever one of many, and nobody knows its name
                else:
                    notices += lost
        return notices

    def _forget_lost(self) -> None:
        """Forget the hosts that were lost first if there are too many: names may come, upload once, and go."""
        lost = [(one.lost_at, pair) for pair, one in self.open.items() if one.lost_at is not None]
        for _, pair in sorted(lost)[: max(0, len(lost) - self._policy.most_remembered)]:
            del self.open[pair]

    def _resolve(self, pair: Pair, incident: Incident, now: Instant) -> list[Notice]:
        del self.open[pair]
        self._inhibition.release(incident.explains, now, self._policy.tick_us)
        self._flapping.close(pair, now)
        if self._flapping.is_told(pair) or (incident.told_at is None and not incident.is_muted):
            return []
        ended_at = now if incident.well_since is None else incident.well_since
        return [Notice(RESOLVED, *pair, incident.opened_at, ended_at, now)]

    def _lose(self, pair: Pair, incident: Incident, evaluation: Evaluation) -> list[Notice]:
        """See to an incident that is neither found nor over: its host may have shown no sign for the whole lookback."""
        # Who is silent may be seen in the index alone, so both sources must be seen, unless nobody looks who is.
        looks_for_silent = self._scope.symptoms is None or silent.SYMPTOM in self._scope.symptoms
        needed = {incident.symptom, silent.SYMPTOM} if looks_for_silent else {incident.symptom}
        if incident.host == EVERY_HOST or not needed <= evaluation.judged:
            return []
        now = evaluation.at
        if now - incident.last_sign_at <= self._policy.lookback_us(incident.host):
            incident.lost_at = None
            return []
        if incident.lost_at is None:
            incident.lost_at = now
            return [Notice(LOST, *pair, incident.opened_at, now, now)]
        if now - incident.lost_at > self._policy.forget_after_us:
            del self.open[pair]
        return []


def _is_told_later(incident: Incident, evaluation: Evaluation) -> bool:
    """Say whether an incident was told of at an instant that a clock which is behind has not reached again."""
    return evaluation.is_clock_behind and incident.told_at is not None and incident.told_at > evaluation.at


def _is_noticed(incident: Incident) -> bool:
    """Return whether an incident was notified, or would have been if nobody had silenced it."""
    return incident.told_at is not None or incident.is_muted


def _is_moot(incident: Incident, evaluation: Evaluation) -> bool:
    """Return whether an incident of a stranger can be dropped: nobody was notified, or it cannot be judged any more."""
    pair = (incident.host, incident.symptom)
    return pair in evaluation.forgotten and not (_is_noticed(incident) and pair in evaluation.over)
