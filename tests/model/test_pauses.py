"""Absence counts from when uploading was possible."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.pauses import (
    Pause,
    absence_us,
    begin_of,
    counted_us,
    latest_before,
    merged,
    passed_us,
    paused_us,
)

LAST, NOW = 1_000, 2_000


def pauses_of(*stretches: tuple[int, int]) -> tuple[Pause, ...]:
    """Make pauses."""
    return merged(Pause(since, until, f"until {until}") for since, until in stretches)


@pytest.mark.parametrize(
    ("stretches", "absence"),
    [
        pytest.param([], 1_000, id="without a pause all of it"),
        pytest.param([(900, 1_000)], 1_000, id="a pause that was over with the last sign"),
        pytest.param([(900, 1_300)], 700, id="the last sign came in the pause: from its end"),
        pytest.param([(1_000, 1_900)], 100, id="a pause since the last sign: from its end"),
        pytest.param([(1_100, 1_900)], 100, id="the whole time anew, not what was left before the pause"),
        pytest.param([(1_600, 1_900)], 600, id="who was away when it began stays away"),
        pytest.param([(1_100, 2_000)], 100, id="a pause that lasts: as long as when it began"),
        pytest.param([(1_100, 2_500)], 100, id="nor is the future counted"),
        pytest.param([(2_000, 2_500)], 1_000, id="a pause that is to come"),
        pytest.param([(1_200, 1_300), (1_400, 1_900)], 200, id="of several the longest time between"),
        pytest.param(
            [(at, at + 50) for at in range(1_050, 2_000, 100)], 250, id="pauses again and again: half of what was left"
        ),
    ],
)
def test_a_pause_gives_the_whole_time_anew(stretches: list[tuple[int, int]], absence: int) -> None:
    """Absence is the longest stretch without a pause since the last sign, or half of the time without pauses."""
    assert absence_us(pauses_of(*stretches), (), LAST, NOW) == absence


def test_an_absence_that_is_to_come_is_negative() -> None:
    """A sign that is dated ahead of the clock is not an absence."""
    assert absence_us(pauses_of((1_100, 1_200)), (), NOW + 5, NOW) == -5


@pytest.mark.parametrize(
    ("stretches", "absence"),
    [([], 600), ([(900, 1_000)], 600), ([(1_800, 1_900)], 400), ([(1_010, 1_050)], 550), ([(1_150, 1_180)], 420)],
)
def test_what_the_clock_skipped_did_not_pass(stretches: list[tuple[int, int]], absence: int) -> None:
    """A skip is not a pause: the time before it still counts."""
    assert absence_us(pauses_of(*stretches), ((1_200, 1_600),), LAST, NOW) == absence


STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda one: (one[0], sum(one))), max_size=6)


@given(STRETCHES, st.integers(0, 60), st.integers(0, 60))
def test_it_is_what_one_counts_tick_by_tick(stretches: list[tuple[int, int]], last_at: int, length: int) -> None:
    """Compared with a count of each unit of time."""
    now, pauses = last_at + length, pauses_of(*stretches)
    is_open = [not any(since <= at < until for since, until in stretches) for at in range(last_at, now)]
    longest = run = 0
    for one in is_open:
        run = run + 1 if one else 0
        longest = max(longest, run)

    assert counted_us(pauses, (), last_at, now) == sum(is_open)
    assert paused_us(pauses, last_at, now) == length - sum(is_open)
    assert absence_us(pauses, (), last_at, now) == max(longest, sum(is_open) // 2)
    assert all(one.until < other.since for one, other in pairwise(pauses))


def test_what_touches_is_one_and_the_last_to_end_is_named() -> None:
    """So no time counts twice, and the reason is the one that holds."""
    pauses = pauses_of((5, 9), (1, 3), (3, 4), (6, 7))

    assert pauses == (Pause(1, 4, "until 4"), Pause(5, 9, "until 9"))
    assert [latest_before(pauses, now) for now in (1, 5, 6)] == [None, pauses[0], pauses[1]]


@given(STRETCHES, st.integers(1, 30))
def test_reading_begins_where_the_lookback_does(stretches: list[tuple[int, int]], lookback: int) -> None:
    """Everything that can count within the lookback is read, and no more if no pause is at its end."""
    at, pauses = 60, pauses_of(*stretches)
    begin = begin_of(at, lookback, lambda since: [one for one in pauses if one.until >= since])

    assert all(counted_us(pauses, (), earlier, at) > lookback for earlier in range(begin - 30, begin))
    assert counted_us(pauses, (), begin, at) == lookback


@pytest.mark.parametrize("gap_us", [0, 60_000_000])
def test_a_window_that_hardly_ever_ends_leads_no_further_back_than_a_quarter(gap_us: int) -> None:
    """A daily window of the whole day, or of all but one minute."""
    day, now = 86_400_000_000, 1_795_460_100_000_000

    def pauses_since(since: int) -> list[Pause]:
        days = range(since // day - 1, now // day + 1)
        return [Pause(one * day, (one + 1) * day - gap_us, "every day") for one in days]

    assert begin_of(now, day, pauses_since) == now - 93 * day


def test_of_pauses_that_end_together_the_first_to_begin_is_named() -> None:
    """It is the one that lasted longest."""
    assert merged([Pause(5, 10, "b"), Pause(0, 10, "a", is_known=False)]) == (Pause(0, 10, "a", is_known=False),)


@pytest.mark.parametrize(
    ("since", "until", "passed"), [(9, 40, 21), (10, 40, 20), (11, 40, 29), (0, 10, 10), (0, 21, 11)]
)
def test_a_skip_counts_from_the_instant_at_which_the_clock_was_set(since: int, until: int, passed: int) -> None:
    """The clock was set from 10 to 20: what began at 10 is shorter by the skip, what ended at 10 is not."""
    assert passed_us([(10, 20)], since, until) == passed
