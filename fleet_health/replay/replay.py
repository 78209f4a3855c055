"""Replay the past tick by tick, with the evaluations that the service would have made."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fleet_health.alerting import flapping
from fleet_health.alerting.lifecycle import Action, Fact, Reason
from fleet_health.alerting.suppression import Suppression
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.engine import Circumstances, Engine, evaluate_at, readable_sources
from fleet_health.model.cadence import Cadence
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import UnitState, Upload
from fleet_health.model.schedule import next_tick_at
from fleet_health.model.window import NEVER
from fleet_health.replay.timeline import Episode

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.incidents import Outcome
    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.alerting.mute_windows import MuteWindow
    from fleet_health.alerting.rules import Rules
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.coverage import Coverage, Gap
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Observation, Response, Unstamped
    from fleet_health.model.pauses import Skip
    from fleet_health.model.subject import Pair
    from fleet_health.replay.past import Observed


@dataclass(frozen=True, slots=True)
class Watched:
    """The receivers and rules of a replay.

    Attributes:
        rules: The rules by which the fleet is evaluated.
        mute_windows: The windows in which alerts are suppressed.
        host_limit: The largest number of hosts that are watched.
        expected: The names and globs of the hosts that are expected.
        receivers: The names of the receivers, if there are several.
        skips: The spans over which the clock was set ahead.
        shutdowns: The known spans in which the machine was off or suspended.

    """

    rules: Rules
    mute_windows: Sequence[MuteWindow]
    host_limit: int
    expected: Sequence[str] = ()
    receivers: Sequence[str] = ()
    skips: tuple[Skip, ...] = ()
    shutdowns: tuple[tuple[Instant, Instant], ...] = ()


@dataclass(slots=True)
class _Open:
    opened_at: Instant
    detail: str
    alerts: int = 0
    decision: Decision | None = None

    def note(self, decision: Decision) -> None:
        """Record why the incident is not notified. `RECOVERING` does not replace an earlier reason."""
        if decision.action is Action.NONE and (self.decision is None or decision.reason is not Reason.RECOVERING):
            self.decision = decision


@dataclass
class Replay:
    """The incidents and alerts that result from the evaluations of a span.

    Attributes:
        watched: The receivers and rules.
        episodes: The ended incidents so far, in order of their ends. Those with symptom `flapping` are the spans of
            time over which a host was notified as flapping.
        alerts: The number of alerts that would have been sent so far.
        failures: Symptom -> the first error of its detector.

    """

    watched: Watched
    episodes: list[Episode] = field(default_factory=list)
    alerts: int = 0
    failures: dict[str, Exception] = field(default_factory=dict)
    _open: dict[Pair, _Open] = field(default_factory=dict)
    _flapping: dict[Pair, _Open] = field(default_factory=dict)
    _engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self._engine = Engine(self.watched.rules)

    @property
    def open(self) -> tuple[Pair, ...]:
        """The open incidents."""
        return tuple(self._engine.incidents.open)

    @property
    def lost(self) -> frozenset[str]:
        """The hosts that are lost, or will be when their last upload is forgotten."""
        return self._engine.incidents.once_uploaded

    @property
    def decisions(self) -> Sequence[Decision]:
        """The decisions of the latest evaluation."""
        return self._engine.decisions

    def finish(self) -> None:
        """End the replay. Incidents that are still open become episodes without an end."""
        self.episodes += [_episode(pair, one, None) for pair, one in (self._open | self._flapping).items()]
        self._open.clear()
        self._flapping.clear()

    def take(self, evaluation: Evaluation) -> None:
        """Apply an evaluation. Call this for each, in order."""
        incidents = self._engine.incidents
        for failure in evaluation.failures:
            self.failures.setdefault(failure.symptom, failure.error)
        outcome = self._engine.decide(evaluation, self.suppressions(evaluation.at))
        self.alerts += len(outcome.alerts)
        if incidents.open.keys() != self._open.keys():
            details = {(one.host, one.symptom): one.detail for one in evaluation.findings}
            for pair in incidents.open.keys() - self._open.keys():
                incident: Incident = incidents.open[pair]
                self._open[pair] = _Open(incident.opened_at, details.get(pair, ""))
            for pair in self._open.keys() - incidents.open.keys():
                self.episodes.append(_episode(pair, self._open.pop(pair), evaluation.at))
        self._note(outcome, evaluation.at)

    def _note(self, outcome: Outcome, at: Instant) -> None:
        """Record the notified incidents, and the reasons of the others."""
        for alert in outcome.alerts:
            finding = alert.finding
            pair = (finding.host, finding.symptom)
            if pair in self._open:
                self._open[pair].alerts += 1
            elif finding.symptom == flapping.SYMPTOM:
                self._flapping[pair] = _Open(at, finding.detail, 1)
        for decision in outcome.decisions:
            one = self._open.get(decision.pair)
            if one is not None and not one.alerts:
                one.note(decision)
        for notice in outcome.notices:
            if (settled := self._flapping.pop((notice.host, notice.symptom), None)) is not None:
                self.episodes.append(_episode((notice.host, notice.symptom), settled, at))

    def suppressions(self, now: Instant) -> Suppressions:
        """Return the suppressions by mute windows, because past silences are not known."""
        active = [window for window in self.watched.mute_windows if window.is_active(now)]

        def suppression(host: str, _symptom: str, _opened_at: Instant | None) -> Suppression | None:
            window = next((window for window in active if window.is_about(host)), None)
            return None if window is None else Suppression(Fact.MUTED, window.in_words())

        return suppression


def _episode(pair: Pair, one: _Open, ended_at: Instant | None) -> Episode:
    if one.alerts or one.decision is None:
        return Episode(*pair, one.opened_at, ended_at, one.alerts, one.detail)
    return Episode(*pair, one.opened_at, ended_at, 0, one.detail, one.decision.reason, one.decision.detail)


def evaluated(
    watched: Watched,
    coverage: Sequence[Coverage],
    observed: Iterable[Observed],
    span: tuple[Instant, Instant],
    state: Callable[[], tuple[tuple[Pair, ...], frozenset[str]]],
    *,
    uploaders: Container[str] = (),
    watched_since: Instant = -NEVER,
) -> Iterator[Evaluation]:
    """Yield the evaluation at each tick after a begin, up to and including an end.

    Args:
        watched: The receivers and rules.
        coverage: The coverage of each source of each receiver.
        observed: The observations in order of time, from the lookback of the detectors before the begin on.
        span: The begin and the end.
        state: Returns the incidents that are or may be open, and the lost hosts. Called before each evaluation.
        uploaders: The hosts with a row anywhere in the index. They are known from the begin, so that the result does
            not depend on the spans. For the same reason an open incident does not make a host known.
        watched_since: The instant from which hosts are watched. Older observations only show their rhythms.

    """
    since, until = span
    rules = watched.rules
    tick_us, lookback = rules.policy.tick_us, lookback_of(rules.detectors)
    fleet = _empty_fleet(watched, is_learning=bool(lookback.rhythm_us))
    fleet.register.uploads += (lambda host: since if host in uploaders else None,)
    fleet.skips, fleet.shutdowns = watched.skips, watched.shutdowns
    # Uploads before an index begins are unknown.
    begins = (one.begins_at for one in coverage if one.kind == "index" and one.begins_at is not None)
    fleet.known_since = max((at for at in begins if at < NEVER), default=-NEVER)
    next_at = next_tick_at(since, tick_us)
    gaps_in_order = [sorted(one.gaps, key=_end_of) for one in coverage]
    feed = _Feed(fleet, watched_since, uploaders)

    def evaluate(now: Instant) -> Evaluation:
        feed.record()
        # A gap is known from the message that reports it, and a reader that starts here knows no earlier begin.
        since = now - lookback.traffic_us
        known: list[Coverage] = []
        for one, in_order in zip(coverage, gaps_in_order, strict=True):
            within = in_order[bisect_left(in_order, since, key=_end_of) : bisect_right(in_order, now, key=_end_of)]
            gaps = tuple(replace(gap, since=max(gap.since, since)) for gap in within)
            known.append(replace(one.as_of(now), gaps=gaps))
        fleet.coverage = tuple(known)
        seen = readable_sources(known, now)
        suspects, fleet.lost = state()
        return evaluate_at(fleet, rules.detectors, now, suspects, Circumstances(seen))

    for at, name, one in observed:
        while at > next_at <= until:
            yield evaluate(next_at)
            next_at += tick_us
        if at > until:
            break
        feed.take(at, name, one)
    while next_at <= until:
        yield evaluate(next_at)
        next_at += tick_us


def _empty_fleet(watched: Watched, *, is_learning: bool) -> Fleet:
    rules = watched.rules
    fleet = Fleet(watched.host_limit, rules.scope.ignored, watched.expected, watched.receivers)
    rules.apply_to(fleet)
    if is_learning:
        fleet.cadence = Cadence(watched.host_limit, rules.scope.ignored)
    return fleet


@dataclass
class _Feed:
    """Records observations in a fleet, in a batch for each evaluation.

    Attributes:
        fleet: The fleet.
        watched_since: The instant from which hosts are watched. Older observations only show their rhythms.
        uploaders: The hosts with a row in an index.

    """

    fleet: Fleet
    watched_since: Instant
    uploaders: Container[str]
    _uploads: dict[str, list[Upload]] = field(default_factory=lambda: defaultdict(list))
    _logged: dict[str, list[Response | Unstamped | UnitState]] = field(default_factory=lambda: defaultdict(list))

    def take(self, at: Instant, receiver: str, one: Observation | UnitState) -> None:
        """Queue an observation of a receiver for the next evaluation."""
        if at < self.watched_since and not isinstance(one, UnitState):
            self._learn(one)
        elif isinstance(one, Upload):
            self._uploads[receiver].append(one)
        else:
            self._logged[receiver].append(one)

    def record(self) -> None:
        """Record the queued observations."""
        for name, batch in self._uploads.items():
            self.fleet.record_uploads(name, batch)
        for name, entries in self._logged.items():
            self.fleet.record_traffic(name, entries)
        self._uploads.clear()
        self._logged.clear()

    def _learn(self, one: Observation) -> None:
        cadence = self.fleet.cadence
        if cadence is None:
            return
        if isinstance(one, Upload):
            cadence.note(one.host, one.at)
        else:
            cadence.record_traffic((one,), self.uploaders.__contains__)


def _end_of(gap: Gap) -> Instant:
    return gap.until
