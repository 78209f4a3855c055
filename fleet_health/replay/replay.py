"""Going through the past again, tick by tick: the same judgement, at the instants at which it would have been made."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.scope import Scope
from fleet_health.detectors.evaluation import evaluate, evict, reach_of
from fleet_health.model.coverage import Coverage
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Ship
from fleet_health.model.schedule import next_tick_at
from fleet_health.replay.timeline import Episode

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from fleet_health.alerting.alert_policy import AlertPolicy
    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.mute_windows import QuietWindow
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.spec import Detector
    from fleet_health.model.coverage import Gap
    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Observation, Response, UnitState, Unstamped
    from fleet_health.model.subject import Pair


@dataclass(frozen=True, slots=True)
class Rules:
    """By what is judged.

    Attributes:
        detectors: What is looked for.
        policy: How often it is told of.
        quiet: When it is not.
        ignored: Who is left out.
        host_limit: How many hosts are watched.
        expected: The names and globs of the hosts that are expected.

    """

    detectors: Sequence[Detector]
    policy: AlertPolicy
    quiet: Sequence[QuietWindow]
    ignored: HostGlobs
    host_limit: int
    expected: Sequence[str] = ()


@dataclass(slots=True)
class _Open:
    opened_at: Instant
    detail: str
    alerts: int = 0


@dataclass
class Replay:
    """What comes of the evaluations of a stretch of time.

    Attributes:
        rules: By what is judged.
        episodes: What has come and gone so far, in the order in which it ended.
        alerts: How many alerts would have been given so far.
        failures: Symptom -> the first error of its detector.

    """

    rules: Rules
    episodes: list[Episode] = field(default_factory=list)
    alerts: int = 0
    failures: dict[str, Exception] = field(default_factory=dict)
    _open: dict[Pair, _Open] = field(default_factory=dict)
    _incidents: Incidents = field(default_factory=Incidents)

    def __post_init__(self) -> None:
        symptoms = frozenset(detector.symptom for detector in self.rules.detectors)
        self._incidents.tune(self.rules.policy, Scope(symptoms, self.rules.ignored))

    @property
    def open(self) -> tuple[Pair, ...]:
        """What is open."""
        return tuple(self._incidents.open)

    @property
    def lost(self) -> frozenset[str]:
        """The hosts that are lost, or will be when their last ship is forgotten."""
        return self._incidents.once_shipped

    def finish(self) -> None:
        """Say that the last evaluation was taken: what stands has no end."""
        self.episodes += [self._episode(pair, None) for pair in list(self._open)]

    def take(self, evaluation: Evaluation) -> None:
        """Note what an evaluation leads to; each must come, in order."""
        incidents = self._incidents
        for failure in evaluation.failures:
            self.failures.setdefault(failure.symptom, failure.error)
        if not evaluation.findings and not incidents.open:
            return
        news = incidents.take(evaluation, self._muter(evaluation.at))
        self.alerts += len(news.alerts)
        if incidents.open.keys() != self._open.keys():
            details = {(one.host, one.symptom): one.detail for one in evaluation.findings}
            for pair in incidents.open.keys() - self._open.keys():
                incident: Incident = incidents.open[pair]
                self._open[pair] = _Open(incident.opened_at, details.get(pair, ""))
            self.episodes += [self._episode(pair, evaluation.at) for pair in self._open.keys() - incidents.open.keys()]
        for alert in news.alerts:
            pair = (alert.finding.host, alert.finding.symptom)
            if pair in self._open:
                self._open[pair].alerts += 1

    def _episode(self, pair: Pair, ended_at: Instant | None) -> Episode:
        one = self._open.pop(pair)
        return Episode(*pair, one.opened_at, ended_at, one.alerts, one.detail)

    def _muter(self, now: Instant) -> Callable[[str, str], bool]:
        quiet = [window for window in self.rules.quiet if window.is_active(now)]
        return lambda host, _: any(window.is_about(host) for window in quiet)


def judged(
    rules: Rules,
    gaps: Iterable[Gap],
    observed: Iterable[tuple[Instant, Observation | UnitState]],
    span: tuple[Instant, Instant],
    state: Callable[[], tuple[tuple[Pair, ...], frozenset[str]]],
    *,
    uploaders: Container[str] = (),
) -> Iterator[Evaluation]:
    """Judge at each tick after a begin, up to an end, included.

    Args:
        rules: By what is judged.
        gaps: What the journal does not show.
        observed: What was observed, in order of time, from as long before the begin as the detectors reach back.
        span: The begin and the end.
        state: Gives, before each evaluation, what is open, or may be; and which hosts are lost.
        uploaders: The hosts of which the index has a row anywhere in what was read. They are known from the begin, in
            whatever spans the past is judged; an open incident protects no stranger, for another span does not know it.

    """
    since, until = span
    tick_us, reach = rules.policy.tick_us, reach_of(rules.detectors)
    fleet = Fleet(rules.host_limit, rules.ignored, rules.expected)
    fleet.register.uploads += (lambda host: since if host in uploaders else None,)
    next_at = next_tick_at(since, tick_us)
    gaps_in_order = sorted(gaps, key=lambda gap: gap.until)
    ends = [gap.until for gap in gaps_in_order]
    ships: list[Ship] = []
    logged: list[Response | Unstamped | UnitState] = []

    def judge(now: Instant) -> Evaluation:
        fleet.ships.record(ships)
        fleet.traffic.record(logged)
        ships.clear()
        logged.clear()
        evict(fleet, reach, now)
        # A gap is known from the message on that tells of it, and who begins to read here knows no earlier begin of it.
        since = now - reach.traffic_us
        within = gaps_in_order[bisect_left(ends, since) : bisect_right(ends, now)]
        known = tuple(replace(gap, since=max(gap.since, since)) for gap in within)
        fleet.coverage = (Coverage("index"), Coverage("journal", gaps=known))
        suspects, fleet.lost = state()
        return evaluate(fleet, rules.detectors, now, suspects)

    for at, one in observed:
        while at > next_at <= until:
            yield judge(next_at)
            next_at += tick_us
        if at > until:
            break
        if isinstance(one, Ship):
            ships.append(one)
        else:
            logged.append(one)
    while next_at <= until:
        yield judge(next_at)
        next_at += tick_us
