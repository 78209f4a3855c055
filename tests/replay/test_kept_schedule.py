"""The schedule that a host keeps to."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.config.values import upload_schedule
from fleet_health.model.cadence import Cadence
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Upload
from fleet_health.model.rhythm import BIN_US, Rhythm
from fleet_health.replay.kept_schedule import kept_schedule

MINUTE_US, DAY_US = HOUR_US // 60, 24 * HOUR_US
MONDAY = 1_795_392_000_000_000
"""2026-11-23T00:00:00Z."""


def rhythm_of(instants: list[int]) -> Rhythm:
    """Return the rhythm of a host that uploaded at some instants."""
    cadence = Cadence(1)
    cadence.record(Upload("pi-1", at) for at in instants)
    rhythm = cadence.rhythm("pi-1")
    assert rhythm is not None
    return rhythm


def at(hours: float, days: range = range(28), spread: float = 0, weekdays: range = range(7)) -> list[int]:
    """Upload at a time of some of the days before a Monday, each time some hours earlier or later."""
    random = Random(1)  # noqa: S311 - nothing is secret here
    return [
        MONDAY - day * DAY_US + int((hours + random.uniform(-spread, spread)) * HOUR_US)
        for day in days
        if -day % 7 in weekdays
    ]


@pytest.mark.parametrize(
    ("instants", "expected"),
    [
        pytest.param(at(2), "daily 02:00 +- 30m", id="each night"),
        pytest.param(at(2, spread=0.4), "daily 02:00 +- 60m", id="a little earlier or later"),
        pytest.param(at(0, spread=0.4), "daily 00:00 +- 60m", id="around midnight"),
        pytest.param(at(23.9, spread=0.05), "daily 00:00 +- 30m", id="just before it"),
        pytest.param(at(7.5, weekdays=range(5)), "weekdays 07:30 +- 30m", id="on working days"),
        pytest.param(at(4, weekdays=range(6, 7)), "sun 04:00 +- 30m", id="once a week"),
        pytest.param([*at(2), *at(2.2)], "daily 02:00 +- 30m", id="several uploads at a time"),
        pytest.param(at(2, range(0, 28, 2)), None, id="every other day"),
        pytest.param([*at(2, range(10)), *at(2, range(14, 28))], "daily 02:00 +- 30m", id="with a fault of some days"),
        pytest.param([*at(2, range(7)), *at(2, range(21, 28))], None, id="of as many days as it uploaded"),
        pytest.param(at(2, range(5)), "daily 02:00 +- 30m", id="for five days"),
        pytest.param(at(2, range(4)), None, id="for four days"),
        pytest.param(at(4, range(21), weekdays=range(1)), "mon 04:00 +- 30m", id="for three weeks"),
        pytest.param(at(4, range(14), weekdays=range(1)), None, id="for two weeks"),
        pytest.param([*at(2), *at(14)], None, id="twice a day"),
        pytest.param(at(12, spread=6), None, id="at any time of the day"),
    ],
)
def test_a_schedule_is_found_that_all_uploads_keep_to(instants: list[int], expected: str | None) -> None:
    """It is one that can be configured."""
    found = kept_schedule(rhythm_of(instants))

    assert found == expected
    if found is not None:
        assert upload_schedule(found).text == found


@given(st.sets(st.integers(0, 5375), min_size=1, max_size=40), st.integers(0, 191))
def test_each_upload_is_within_its_time(ages: set[int], minute: int) -> None:
    """Whatever is found: by the schedule, the next one is due a time after each of them."""
    rhythm = Rhythm(3_989_760 + minute, sum(1 << age for age in ages | {0}))
    nightly = Rhythm(rhythm.newest, sum(1 << age // 192 * 192 + age % 3 for age in ages | set(range(0, 5375, 192))))

    for one in (rhythm, nightly):
        found = kept_schedule(one)
        if found is None:
            continue
        schedule = upload_schedule(found)
        for age in range(one.bits.bit_length()):
            if one.bits >> age & 1:
                begin = (one.newest - age) * BIN_US
                waits_us = schedule.due_by(begin) - begin
                assert waits_us >= 12 * HOUR_US
