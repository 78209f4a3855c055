"""Ticks fall on the multiples of their length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_health.domain.instant import SECOND_US, isoformat
from fleet_health.domain.schedule import next_tick_at

FIVE_MINUTES = 300 * SECOND_US
TICK_AT = 1_795_460_100_000_000
"""2026-11-23T18:55:00Z."""


@settings(deadline=None, max_examples=300)
@given(now=st.integers(0, 2**62), tick=st.integers(SECOND_US, 3650 * 86_400 * SECOND_US))
def test_the_next_tick_is_the_first_multiple_after_now(now: int, tick: int) -> None:
    """It is a multiple of the tick, strictly after now, and the one before it is not."""
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
