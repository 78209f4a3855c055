"""Ticks fall on multiples of their length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import SECOND_US, isoformat
from fleet_health.model.schedule import first_tick_at, next_tick_at
from tests.rig.properties import tried

FIVE_MINUTES = 300 * SECOND_US
TICK_AT = 1_795_460_100_000_000
"""2026-11-23T18:55:00Z."""


@tried(300)
@given(now=st.integers(0, 2**62), tick=st.integers(SECOND_US // 10, 3650 * 86_400 * SECOND_US))
def test_the_next_tick_is_the_first_multiple_after_now(now: int, tick: int) -> None:
    """It is strictly after now, and the multiple before it is not."""
    at = next_tick_at(now, tick)

    assert at % tick == 0
    assert at - tick <= now < at


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(TICK_AT - 1, "2026-11-23T18:55:00+00:00", id="a microsecond before a tick: that one"),
        pytest.param(TICK_AT, "2026-11-23T19:00:00+00:00", id="exactly at a tick: the next one"),
        pytest.param(TICK_AT + 1, "2026-11-23T19:00:00+00:00", id="a microsecond after a tick: the next one"),
    ],
)
def test_ticks_of_five_minutes_stand_on_the_clock_face(now: int, expected: str) -> None:
    """The default tick comes at :00, :05 and so on."""
    assert isoformat(next_tick_at(now, FIVE_MINUTES)) == expected


@tried(300)
@given(
    now=st.integers(0, 10**15),
    tick=st.integers(SECOND_US // 10, FIVE_MINUTES),
    wait=st.integers(-FIVE_MINUTES, 2 * FIVE_MINUTES),
)
def test_the_first_tick_at_which_something_holds_is_found(now: int, tick: int, wait: int) -> None:
    """It is the first tick after now and after the begin, however short the tick is."""
    found = first_tick_at(now, now + 4 * FIVE_MINUTES, tick, lambda at: at >= now + wait)

    assert found == next_tick_at(max(now, now + wait - 1), tick)


def test_what_never_holds_is_not_found() -> None:
    """The search ends where it no longer counts."""
    assert first_tick_at(TICK_AT, TICK_AT + FIVE_MINUTES, SECOND_US, lambda at: at >= TICK_AT + FIVE_MINUTES) is None


@pytest.mark.parametrize("late", range(60))
def test_what_holds_for_a_minute_is_found_at_its_first_tick(late: int) -> None:
    """At whichever second it begins."""
    begin = TICK_AT + FIVE_MINUTES + late * SECOND_US

    def holds(at: int) -> bool:
        return begin <= at < begin + 60 * SECOND_US

    assert first_tick_at(TICK_AT, TICK_AT + 2 * FIVE_MINUTES, SECOND_US, holds) == begin
