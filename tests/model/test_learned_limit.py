"""How long a host may be silent, by its own rhythm."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import HOUR_US
from fleet_health.model.learned_limit import LearnedLimit, learned_limit
from fleet_health.model.rhythm import BIN_US, Rhythm
from tests.model.rhythms import (
    CEILING_US,
    DAY_US,
    FLOOR_US,
    FOUR_WEEKS,
    MINUTE_US,
    MONDAY,
    WEEK_US,
    by_day,
    cadence_of,
    every,
    limit_of,
    steady_then,
)


def coming_and_going(hour: int) -> tuple[int, int]:
    """Return the last quarter of an hour, as many hours before the end of a day."""
    return MONDAY - hour * HOUR_US - 15 * MINUTE_US, MONDAY - hour * HOUR_US


def away_for_four_hours(*days: int) -> list[int]:
    """Return uploads every five minutes for weeks, except in the last four hours of some days, counted back."""
    return without_four_hours(every(5 * MINUTE_US, FOUR_WEEKS, MONDAY + 1), days)


def every_hour_but(*days: int) -> list[int]:
    """Return uploads every hour for weeks, with the same exceptions."""
    return without_four_hours(every(HOUR_US, FOUR_WEEKS, MONDAY + 1), days)


def without_four_hours(instants: list[int], days: tuple[int, ...]) -> list[int]:
    """Return some instants without those in the last four hours of some days, counted back."""
    away = [(end - 4 * HOUR_US, end) for end in (MONDAY - day * DAY_US for day in days)]
    return [at for at in instants if not any(begin < at < end for begin, end in away)]


@pytest.mark.parametrize(
    ("instants", "limit_us", "reason"),
    [
        pytest.param(
            every(5 * MINUTE_US, MONDAY - 5 * HOUR_US, MONDAY),
            FLOOR_US,
            "it is known for less",
            id="a host that is new",
        ),
        pytest.param(
            [MONDAY - 2 * DAY_US, MONDAY],
            2 * DAY_US + 6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host of which one interval is known: it is usual, for want of others",
        ),
        pytest.param(
            every(5 * MINUTE_US, FOUR_WEEKS, MONDAY),
            FLOOR_US,
            "none of its intervals",
            id="a host that uploads steadily",
        ),
        pytest.param(
            every(HOUR_US, FOUR_WEEKS, MONDAY), 2 * HOUR_US, "the longest usual", id="a host that uploads every hour"
        ),
        pytest.param(
            every(DAY_US, FOUR_WEEKS, MONDAY),
            30 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host that uploads every night is given six hours more, not twelve",
        ),
        pytest.param(
            every(WEEK_US, FOUR_WEEKS, MONDAY),
            WEEK_US + 6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host that uploads once a week",
        ),
        pytest.param(
            [at for at in by_day((8, 17), FOUR_WEEKS, MONDAY + DAY_US) if at < MONDAY + 12 * HOUR_US],
            FLOOR_US,
            "it uploads steadily at this hour",
            id="a host of office hours, by day",
        ),
        pytest.param(
            [at for at in by_day((8, 17), FOUR_WEEKS, MONDAY + DAY_US) if at <= MONDAY + 8 * HOUR_US],
            FLOOR_US,
            "it uploads steadily at this hour",
            id="a host of office hours, after its first upload of the day",
        ),
        pytest.param(
            by_day((8, 17), FOUR_WEEKS, MONDAY),
            63 * HOUR_US + 15 * MINUTE_US + 6 * HOUR_US + 30 * MINUTE_US + DAY_US,
            "the longest usual one and half as much again, and a day, as it rests",
            id="a host of office hours, at the end of a week",
        ),
        pytest.param(
            by_day((0, 24), FOUR_WEEKS, MONDAY - 20 * DAY_US, days=7)
            + every(5 * MINUTE_US, MONDAY - 19 * DAY_US, MONDAY),
            FLOOR_US,
            "it uploads steadily at this hour",
            id="a host that was away for a day, once",
        ),
        pytest.param(
            every(DAY_US, FOUR_WEEKS, MONDAY - 10 * DAY_US) + every(DAY_US, MONDAY - 4 * DAY_US, MONDAY),
            30 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host of every night that was away for a week, once",
        ),
        pytest.param(
            [*every(5 * MINUTE_US, FOUR_WEEKS, MONDAY - 5 * HOUR_US), MONDAY],
            FLOOR_US,
            "no two of its long intervals",
            id="a host that has just come back, for the first time",
        ),
        pytest.param(
            steady_then(every(HOUR_US, MONDAY - 9 * HOUR_US, MONDAY + 1)),
            2 * HOUR_US,
            "the longest usual",
            id="a host that has changed its rhythm, ten hours ago",
        ),
        pytest.param(
            steady_then(
                [*every(90 * MINUTE_US, MONDAY - 8 * DAY_US + HOUR_US // 2, MONDAY + HOUR_US), MONDAY + 75 * MINUTE_US]
            ),
            2 * HOUR_US + 45 * MINUTE_US,
            "the longest usual",
            id="eight days ago, and now it uploads in an hour in which it always was steady",
        ),
        pytest.param(
            steady_then(every(HOUR_US, MONDAY - 8 * HOUR_US, MONDAY + 1)),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that may have changed its rhythm, or comes back now and then",
        ),
        pytest.param(
            steady_then([at for hour in range(20) for at in every(5 * MINUTE_US, *coming_and_going(hour))]),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that comes and goes for most of a day",
        ),
        pytest.param(
            steady_then([MONDAY - 9 * HOUR_US, *every(5 * MINUTE_US, MONDAY - 4 * HOUR_US, MONDAY)]),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that was away twice within a day, for as long",
        ),
        pytest.param(
            away_for_four_hours(2, 1, 0),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that was away on three days",
        ),
        pytest.param(
            away_for_four_hours(3, 0),
            6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="as long, three days before",
        ),
        pytest.param(
            every_hour_but(3, 0), 2 * HOUR_US, "the longest usual", id="a host of every hour that was away twice"
        ),
        pytest.param(
            every_hour_but(6, 3, 0),
            6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="one that was away three times, each time three days later",
        ),
        pytest.param(
            every(10 * DAY_US, MONDAY - 20 * DAY_US, MONDAY + 1),
            CEILING_US,
            "the longest usual",
            id="never above the ceiling",
        ),
    ],
)
def test_the_limit_is_the_hosts_own(instants: list[int], limit_us: int, reason: str) -> None:
    """The limit follows from the host's own uploads; a fault that happened once does not raise it."""
    found = limit_of(instants)

    assert found.reason.startswith(reason)
    assert 0 <= found.limit_us - limit_us <= 2 * BIN_US


def test_bursts_count_once() -> None:
    """Uploads in quick succession are one burst; only the time between bursts counts."""
    random = Random(1)  # noqa: S311 - nothing is secret here
    begins = every(90 * MINUTE_US, FOUR_WEEKS, MONDAY)
    bursts = [begin + random.randrange(5 * MINUTE_US) for begin in begins for _ in range(20)]

    assert limit_of(bursts).limit_us <= limit_of(begins).limit_us + 2 * BIN_US


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (LearnedLimit(1, 0, None, "it is new", is_known=False), "not learned yet: it is new"),
        (LearnedLimit(1, 3, None, "it is steady", is_known=True), "learned: it is steady"),
        (LearnedLimit(1, 3, HOUR_US, "the longest", is_known=True), "learned from 3 intervals: the longest (1 h)"),
    ],
)
def test_it_says_where_it_comes_from(limit: LearnedLimit, words: str) -> None:
    """`explain` and the alert show the origin of the limit."""
    assert limit.in_words() == words


@given(st.sets(st.integers(0, 5375)), st.integers(1, 20), st.integers(0, 200))
def test_a_limit_is_between_the_floor_and_the_ceiling(ages: set[int], floor: int, more: int) -> None:
    """Whatever the host does."""
    rhythm = Rhythm(10_000, sum(1 << age for age in ages | {0}))
    floor_us, ceiling_us = floor * 5 * MINUTE_US, (floor + more) * 5 * MINUTE_US

    assert floor_us <= learned_limit(rhythm, 0, floor_us, ceiling_us).limit_us <= ceiling_us


@pytest.mark.parametrize(("known_us", "is_known"), [(12 * HOUR_US - BIN_US, False), (12 * HOUR_US, True)])
def test_a_limit_is_learned_once_a_host_is_known_for_half_a_day(known_us: int, *, is_known: bool) -> None:
    """Until then the limit is the floor."""
    found = limit_of([MONDAY, MONDAY + known_us])
    rhythm = cadence_of(a=[MONDAY, MONDAY + known_us]).rhythm("a")

    assert found.is_known == is_known
    assert (found.limit_us > FLOOR_US) == is_known
    assert rhythm is not None
    assert rhythm.known_us == known_us


@pytest.mark.parametrize(
    ("days", "is_steady"),
    [
        pytest.param((7, 14), False, id="at this hour of the last two weeks"),
        pytest.param((6, 12), True, id="at this hour of two other days"),
        pytest.param((8, 16), True, id="at this hour of two others"),
        pytest.param((7,), False, id="at this hour of one of three weeks"),
        pytest.param((2, 9, 16), False, id="on more than a tenth of the days"),
    ],
)
def test_a_host_is_not_steady_at_an_hour_of_the_week_at_which_it_rests(
    days: tuple[int, ...], *, is_steady: bool
) -> None:
    """Even if it uploads on nearly all days: the weeks or the days in which it rests at that hour decide."""
    rests = [MONDAY - day * DAY_US for day in days]
    uploads = [
        at
        for at in every(5 * MINUTE_US, FOUR_WEEKS, MONDAY)
        if not any(rest < at < rest + 5 * HOUR_US for rest in rests)
    ]

    assert (limit_of(uploads).reason == "it uploads steadily at this hour") == is_steady
