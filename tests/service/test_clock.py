"""What the steps of a clock tell of it."""

from __future__ import annotations

import pytest

from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.service.clock import StepWatch

MINUTE = 60


class Machine:
    """A machine with a clock that can be set, in seconds."""

    def __init__(self) -> None:
        self.off_s = self.passed_s = self.asleep_s = 0
        self.watch = StepWatch(
            lambda: 1_000 * HOUR_US + (self.off_s + self.passed_s + self.asleep_s) * SECOND_US,
            lambda: self.passed_s * SECOND_US,
            lambda: self.asleep_s * SECOND_US,
        )


@pytest.mark.parametrize(
    ("offsets", "is_restored"),
    [
        pytest.param([], False, id="it was never set"),
        pytest.param([7200], False, id="it was set ahead"),
        pytest.param([7200, 0], True, id="it is back"),
        pytest.param([7200, 60], True, id="it is back within a minute"),
        pytest.param([7200, 61], False, id="it is set to another time"),
        pytest.param([7200, -60], True, id="it is back within a minute, on the other side"),
        pytest.param([7200, -61], False, id="it is further back"),
        pytest.param([-7200], False, id="it was set back"),
        pytest.param([3600, 7200, 3600], True, id="it is back where it was set to before"),
        pytest.param([3600, 7200, 0], True, id="both are taken back"),
        pytest.param([3600, 0, -3600], False, id="and then it is set back"),
        pytest.param([3600, 0, 10], True, id="a small step changes nothing"),
    ],
)
def test_a_clock_that_was_ahead_is_back(offsets: list[int], *, is_restored: bool) -> None:
    """Time passes, and the machine sleeps, between any two looks."""
    machine = Machine()
    for off_s in offsets:
        machine.passed_s += 3 * 24 * 60 * MINUTE
        machine.asleep_s += 10 * MINUTE
        machine.off_s = off_s
        machine.watch.look()

    assert machine.watch.is_restored == is_restored


def test_a_clock_that_is_behind_again_is_not_restored() -> None:
    """Where it stood while our own records contradicted it, it is wrong."""
    machine = Machine()
    machine.watch.doubt()
    for off_s in (7200, 0):
        machine.off_s = off_s
        machine.watch.look()

    assert not machine.watch.is_restored
