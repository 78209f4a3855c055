"""The result of an evaluation, as far as later decisions on incidents depend on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet_health.alerting.scope import Scope
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.spec import Finding
    from fleet_health.model.instant import Instant
    from fleet_health.model.pauses import Pause
    from fleet_health.model.subject import Pair

# If the previous evaluation is older than two ticks and this, there was a gap. No machine is busy for so long.
_UNWATCHED_US = 300 * SECOND_US


@dataclass(frozen=True, slots=True)
class Situation:
    """The result of an evaluation.

    Attributes:
        found: The findings that are in scope.
        undecided: The findings that may turn out to be the effect of another incident.
        pauses: The spans in which no host could upload.
        is_clock_behind: Whether the clock contradicts our own records.
        is_back_in_time: Whether its instant is before that of an earlier evaluation.
        is_clock_uncertain: Whether either is true, or the clock was set. If so, absence is not evaluated.
        is_after_a_gap: Whether it is the first evaluation after a gap.

    """

    found: Mapping[Pair, Finding] = field(default_factory=dict)
    undecided: frozenset[Pair] = frozenset()
    pauses: Sequence[Pause] = ()
    is_clock_behind: bool = False
    is_back_in_time: bool = False
    is_clock_uncertain: bool = False
    is_after_a_gap: bool = False

    @property
    def shows_ends(self) -> bool:
        """Whether this evaluation may end, lose or forget an incident."""
        return not self.is_clock_behind and not self.is_back_in_time


def situation_of(evaluation: Evaluation, before: Instant | None, scope: Scope, tick_us: int) -> Situation:
    """Return the result of an evaluation.

    Args:
        evaluation: The evaluation. It may have begun before the latest change of the scope.
        before: The instant of the latest evaluation before it; None if it is the first.
        scope: The scope.
        tick_us: The interval between evaluations.

    """
    now = evaluation.at
    is_back_in_time = before is not None and now < before
    return Situation(
        found={
            (finding.host, finding.symptom): finding
            for finding in evaluation.findings
            if scope.includes(finding.host, finding.symptom)
        },
        undecided=evaluation.undecided,
        pauses=evaluation.pauses,
        is_clock_behind=evaluation.is_clock_behind,
        is_back_in_time=is_back_in_time,
        is_clock_uncertain=evaluation.is_clock_behind or evaluation.is_clock_stepped or is_back_in_time,
        is_after_a_gap=before is not None and now - before > 2 * tick_us + _UNWATCHED_US,
    )
