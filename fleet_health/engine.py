"""The evaluation of a fleet at an instant. The service, `check`, `replay` and the preview of a reload all call this.

Nothing here reads a clock, a file or a source: the caller passes the fleet, the instant and the circumstances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.suppression import no_suppressions
from fleet_health.detectors.evaluation import Evaluation, evaluate, evict, lookback_of, under_a_clock_behind
from fleet_health.detectors.hidden import hidden_verdicts
from fleet_health.model.subject import general

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleet_health.alerting.incidents import Outcome
    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.alerting.rules import Rules
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.detectors.spec import Detector, Lookback
    from fleet_health.model.coverage import Coverage
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The state of the sources and of the clock at an evaluation.

    Attributes:
        seen: The names of the sources that were read up to the instant; see `seen_sources`.
        is_stepped: Whether the clock was set since the latest evaluation. Then absence cannot be evaluated.
        latest_at: The latest instant of our own records if they are ahead of the clock; else None.

    """

    seen: frozenset[str] = frozenset({"index", "journal"})
    is_stepped: bool = False
    latest_at: Instant | None = None


def seen_sources(is_seen: Mapping[str, bool]) -> frozenset[str]:
    """Return the names of the sources that are seen; also `index` or `journal` if those of all receivers are."""
    kinds = {general(name) for name in is_seen}
    of_every = {kind for kind in kinds if all(seen for name, seen in is_seen.items() if general(name) == kind)}
    return frozenset(name for name, seen in is_seen.items() if seen) | of_every


def readable_sources(coverage: Iterable[Coverage], now: Instant) -> frozenset[str]:
    """Return the names of sources that count as seen, if all were read up to an instant.

    An index that is not understood does not count as seen. A journal that is not understood does, because it also shows
    what systemd reports about the unit.
    """
    return seen_sources({one.source: one.kind == "journal" or one.is_understood(now) for one in coverage})


STEADY = Circumstances()
"""The circumstances when both sources were read and the clock is right."""


class Engine:
    """Evaluates a fleet by the rules in force, and keeps its incidents."""

    def __init__(self, rules: Rules, incidents: Incidents | None = None) -> None:
        """Evaluate by these rules. Start with these incidents; with none if they are None."""
        self.incidents = Incidents() if incidents is None else incidents
        self.last: Evaluation | None = None
        """The latest evaluation; None before the first."""
        self.decisions: Sequence[Decision] = ()
        """The decisions of the latest evaluation, also about the incidents that it ended."""
        self.adopt(rules)

    def adopt(self, rules: Rules) -> None:
        """Replace the rules. Drop the incidents that the new rules do not look for, without a notification."""
        self.rules = rules
        self.incidents.tune(rules.policy, rules.scope)

    @property
    def lookback(self) -> Lookback:
        """How far back the fleet must know the sources for all detectors to be exact."""
        return lookback_of(self.rules.detectors)

    def evaluate(self, fleet: Fleet, now: Instant, circumstances: Circumstances = STEADY) -> Evaluation:
        """Evaluate, and let the fleet forget what is too long ago. This may take long; it can run in a thread.

        Neither the fleet nor the incidents may change meanwhile.
        """
        self.rules.apply_to(fleet)
        detectors, pairs = self.rules.detectors, tuple(self.incidents.open)
        evaluation = evaluate_at(fleet, detectors, now, pairs, circumstances)
        if circumstances.latest_at is not None:
            return evaluation
        # Including detectors that cannot evaluate now: their findings are hidden as well.
        return replace(evaluation, hidden=hidden_verdicts(fleet, detectors, fleet.hosts, now))

    def decide(self, evaluation: Evaluation, suppressions: Suppressions = no_suppressions) -> Outcome:
        """Record an evaluation. Return its decisions, alerts and notices."""
        outcome = self.incidents.update(evaluation, suppressions)
        self.decisions = outcome.decisions
        in_trouble = {host for host, _ in self.incidents.open}
        hidden = {symptom: hosts - in_trouble for symptom, hosts in evaluation.hidden.items() if hosts - in_trouble}
        self.last = replace(evaluation, hidden=hidden)
        return outcome

    def tick(
        self,
        fleet: Fleet,
        now: Instant,
        circumstances: Circumstances = STEADY,
        suppressions: Suppressions = no_suppressions,
    ) -> Outcome:
        """Evaluate and decide."""
        return self.decide(self.evaluate(fleet, now, circumstances), suppressions)


def evaluate_at(
    fleet: Fleet,
    detectors: Sequence[Detector],
    now: Instant,
    incidents: Sequence[Pair] = (),
    circumstances: Circumstances = STEADY,
    *,
    forgets: bool = True,
) -> Evaluation:
    """Run the detectors that can evaluate in these circumstances.

    Args:
        fleet: The fleet.
        detectors: The detectors in force.
        now: The instant.
        incidents: The incidents that are or may be open, each as host and symptom.
        circumstances: What is known about the sources and the clock.
        forgets: Whether the fleet forgets what no detector needs any more. While the clock is behind it never does,
            because nothing is certain to be old.

    """
    is_uncertain = circumstances.is_stepped or circumstances.latest_at is not None
    evaluating = [
        detector
        for detector in detectors
        if detector.can_evaluate(circumstances.seen) and not (is_uncertain and detector.is_of_absence)
    ]
    others = [detector for detector in detectors if detector not in evaluating]
    not_evaluated = tuple(detector.name for detector in others)
    if circumstances.latest_at is not None:
        evaluation = under_a_clock_behind(fleet, evaluating, now, circumstances.latest_at, incidents)
        return replace(evaluation, not_evaluated=not_evaluated)
    gone = evict(fleet, lookback_of(detectors), now) if forgets else {}
    fleet.lost |= gone.keys()
    return replace(
        evaluate(fleet, evaluating, now, incidents, () if is_uncertain else others),
        gone=gone,
        not_evaluated=not_evaluated,
        is_clock_stepped=circumstances.is_stepped,
    )
