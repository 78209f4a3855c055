"""Steps of the wall clock are found by comparing it with the monotonic clock."""

from __future__ import annotations

import pytest

from fleet_health.model.clock_jumps import ClockJumps, joined
from fleet_health.model.instant import SECOND_US

MINUTE = 60 * SECOND_US
NOON = 1_795_435_200_000_000


@pytest.mark.parametrize(
    ("entries", "skips"),
    [
        pytest.param([(0, 0), (5, 5)], [], id="never"),
        pytest.param([(0, 0), (121, 1)], [(1, 121)], id="ahead by two hours"),
        pytest.param([(0, 0), (2, 1)], [], id="by no more than a minute"),
        pytest.param([(0, 0), (121, 1), (151, 31)], [(1, 121)], id="once, and then it went on"),
        pytest.param([(0, 0), (121, 1), (12, 12)], [(1, 12)], id="and back after that: the rest passes"),
        pytest.param([(0, 0), (-10, 10)], [], id="back alone"),
        pytest.param([(0, 0), (121, 1), (0.5, 2)], [], id="back before it was set ahead"),
        pytest.param([(0, 0), (121, 1), (120, 0)], [(1, 121)], id="once, and an entry comes late"),
        pytest.param([(0, 0), (121, 1), (120, 1)], [(1, 121)], id="back by no more than a minute"),
        pytest.param([(0, 0), (121, 1), (300, 60)], [(1, 121), (180, 300)], id="ahead twice"),
    ],
)
def test_from_when_to_when_no_time_passed(entries: list[tuple[float, float]], skips: list[tuple[int, int]]) -> None:
    """Each case lists entries as the minute on the wall clock and the minute on the monotonic clock."""
    jumps = ClockJumps()
    for wall, monotonic in entries:
        jumps.look(NOON + round(wall * MINUTE), round(monotonic * MINUTE), "a boot")

    assert jumps.skips == [(NOON + begin * MINUTE, NOON + end * MINUTE) for begin, end in skips]


def test_each_boot_has_a_clock_of_its_own() -> None:
    """The monotonic clock restarts at each boot; that is not a jump."""
    jumps = ClockJumps()
    jumps.look(NOON, 1_000 * MINUTE, "one boot")
    jumps.look(NOON + MINUTE, 0, "another")

    assert jumps.skips == []


@pytest.mark.parametrize(("apart_us", "is_worth_it"), [(MINUTE, False), (MINUTE + 1, True), (-MINUTE - 1, True)])
def test_only_where_time_seems_to_jump_both_clocks_are_read(apart_us: int, *, is_worth_it: bool) -> None:
    """The monotonic clock is read at the first entry and where the wall clock seems to jump."""
    jumps = ClockJumps()

    assert jumps.is_worth_a_look(NOON)
    assert jumps.is_worth_a_look(NOON + apart_us) == is_worth_it


def test_a_jump_that_was_seen_twice_is_one() -> None:
    """Known jumps stay as they are; separate ones are added."""
    assert joined([(10, 20)], [(12, 22), (20, 30), (0, 10)]) == ((0, 10), (10, 20), (20, 30))
