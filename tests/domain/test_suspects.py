"""What may be open, for who does not know what was open before."""

from __future__ import annotations

from fleet_health.domain.detectors.contract import Finding
from fleet_health.domain.evaluation import Evaluation
from fleet_health.domain.suspects import Suspects

A, B = ("a", "silent"), ("b", "silent")


def evaluation(at: int, *found: tuple[str, str], over: tuple[tuple[str, str], ...] = ()) -> Evaluation:
    """Make an evaluation."""
    return Evaluation(at, tuple(Finding(*pair, "detail", "fix") for pair in found), over=frozenset(over))


def test_what_has_been_over_for_long_enough_is_let_go_of() -> None:
    """Not before, not if it was interrupted, and it is back when it is found."""
    suspects = Suspects([A, B], enough_us=10)
    seen = [set(suspects.pairs)]
    for one in (
        evaluation(0, over=(A, B)),
        evaluation(5, B, over=(A,)),
        evaluation(10, over=(A, B)),
        evaluation(11, over=(A, B)),
        evaluation(20, over=(B,)),
        evaluation(21, over=(B,)),
        evaluation(22, A),
        evaluation(40),
    ):
        suspects.take(one)
        seen.append(set(suspects.pairs))

    assert seen == [{A, B}, {A, B}, {A, B}, {A, B}, {B}, {B}, set(), {A}, {A}]
