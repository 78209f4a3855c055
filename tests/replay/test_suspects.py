"""What may be open, for who does not know what was open before."""

from __future__ import annotations

from dataclasses import replace

from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from fleet_health.replay.suspects import Suspects

A, B = ("a", "silent"), ("b", "silent")


def evaluation(
    at: int, *found: tuple[str, str], over: tuple[tuple[str, str], ...] = (), sign_at: int | None = None
) -> Evaluation:
    """Make an evaluation; what is over is so by a fact of its instant, or of another one."""
    return Evaluation(
        at,
        tuple(Finding(*pair, "detail", "fix") for pair in found),
        over=frozenset(over),
        signs=dict.fromkeys(over, at if sign_at is None else sign_at),
    )


def test_what_has_been_over_for_long_enough_is_let_go_of() -> None:
    """Not before, not if it was interrupted, and it is back when it is found."""
    suspects = Suspects([A, B], begin=-1, proof_us=8, margin_us=2)
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


def test_what_only_an_old_fact_ends_is_not_let_go_of() -> None:
    """The incident may have opened after the fact: before the begin, or when it was found last."""
    suspects = Suspects([A], begin=100, proof_us=8, margin_us=2)
    seen = []
    for one in (
        evaluation(105, over=(A,), sign_at=100),
        evaluation(200, over=(A,), sign_at=100),
        evaluation(210, A),
        evaluation(215, over=(A,), sign_at=209),
        evaluation(230, over=(A,), sign_at=209),
        evaluation(240, over=(A,), sign_at=211),
        evaluation(251, over=(A,), sign_at=211),
    ):
        suspects.take(one)
        seen.append(bool(suspects.pairs))

    assert seen == [True, True, True, True, True, True, False]


def test_what_takes_longer_to_be_proved_may_be_open_for_longer() -> None:
    """By what the evaluation says of it, if that is longer than for anything else."""
    suspects = Suspects([A, B], begin=-1, proof_us=8, margin_us=2)
    seen = []
    for at, proof_us in ((0, 50), (11, 50), (52, 50), (53, 50)):
        suspects.take(replace(evaluation(at, over=(A, B)), proofs={A: proof_us}))
        seen.append(set(suspects.pairs))

    assert seen == [{A, B}, {A}, {A}, set()]
