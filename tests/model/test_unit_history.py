"""The history of the receiver's unit: when it was stopped, and how often it started."""

from __future__ import annotations

import pytest

from fleet_health.model.observation import Response, UnitState
from fleet_health.model.pauses import RECEIVER_STARTED
from fleet_health.model.traffic import Traffic
from fleet_health.model.unit_history import UnitHistory


@pytest.mark.parametrize(
    ("observed", "pauses"),
    [
        pytest.param([(5, True)], [(0, 5)], id="of a first start nobody knows since when it was down"),
        pytest.param([(5, False)], [], id="a stop that lasts has no end yet"),
        pytest.param([(5, False), (9, True)], [(5, 9)], id="a stop, and a start"),
        pytest.param([(5, False), (6, False), (9, True)], [(5, 9)], id="it failed, and stopped"),
        pytest.param([(5, False), (9, True), (12, False), (13, True)], [(5, 9), (12, 13)], id="several stops"),
        pytest.param([(5, True), 7, (9, True)], [(0, 5), (7, 9)], id="a power cut: since its last answer"),
        pytest.param([(5, True), (9, True)], [(0, 5), (5, 9)], id="a power cut, and it never answered"),
        pytest.param([(9, True), (5, False), (9, True)], [(5, 9)], id="in any order, and twice"),
    ],
)
def test_it_was_stopped_until_it_started(observed: list[tuple[int, bool] | int], pauses: list[tuple[int, int]]) -> None:
    """A stop ends with a start, and begins with the first stop message or the last sign of the receiver."""
    traffic = Traffic()
    for one in observed:
        traffic.record([Response("a", one, 412) if isinstance(one, int) else UnitState(*one)])

    found = list(traffic.unit_history.pauses(traffic.latest_before))

    assert [(one.since, one.until) for one in found] == pauses
    assert {one.reason for one in found} <= {RECEIVER_STARTED}


def test_what_ran_since_was_not_stopped_meanwhile() -> None:
    """Late messages of one machine correct what those of another one seemed to show."""
    traffic = Traffic()
    traffic.record([UnitState(5, is_running=True), UnitState(7, is_running=False), UnitState(9, is_running=False)])
    before = traffic.unit_history.stopped_at()
    traffic.record([UnitState(6, is_running=True)])

    assert (before, traffic.unit_history.stopped_at()) == (7, None)
    assert traffic.unit == UnitState(6, is_running=True)
    assert traffic.unit_history.starts_after(0, 10) == [5, 6]


def test_another_table_goes_on_with_what_is_known() -> None:
    """A journal that is read again shows the latest states, but not those from long before."""
    old, new = Traffic(), Traffic()
    old.record([UnitState(5, is_running=False), UnitState(9, is_running=True)])
    new.adopt_unit(old, 20)
    new.record([UnitState(9, is_running=True), UnitState(12, is_running=True)])

    assert [(one.since, one.until) for one in new.unit_history.pauses(new.latest_before)] == [(5, 9), (9, 12)]
    assert [(one.since, one.until) for one in old.unit_history.pauses(old.latest_before)] == [(5, 9)]
    assert new.unit == UnitState(12, is_running=True)


def test_starts_are_counted_in_a_window() -> None:
    """After one instant and up to another, inclusive."""
    history = UnitHistory()
    for at in range(10):
        history.record(UnitState(at, is_running=at % 2 == 0))

    assert history.starts_after(2, 8) == [4, 6, 8]


def test_a_unit_that_starts_for_ever_takes_little_room() -> None:
    """Only its latest states are kept."""
    history = UnitHistory()
    for at in range(3_000):
        history.record(UnitState(at, is_running=True))

    assert len(history.starts_after(-1, 3_000)) == 1_000


def test_a_start_by_a_clock_that_was_ahead_counts_as_of_now() -> None:
    """It excuses no absence until its time comes, but the unit counts as running."""
    old, new = Traffic(), Traffic()
    old.record([UnitState(5, is_running=False), UnitState(9, is_running=True), UnitState(99, is_running=True)])
    new.adopt_unit(old, 20)

    assert [(one.since, one.until) for one in new.unit_history.pauses(new.latest_before)] == [(5, 9), (9, 20)]
    assert new.unit == UnitState(20, is_running=True)
