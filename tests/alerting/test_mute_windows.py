"""Mute windows by local time."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.mute_windows import MuteWindow
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.instant import from_datetime

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = frozenset(range(7))


@pytest.mark.parametrize(
    ("at", "is_active"),
    [
        # 2026-11-23 is a Monday.
        ("2026-11-23T08:59:59.999999", False),
        ("2026-11-23T09:00:00", True),
        ("2026-11-23T16:59:59.999999", True),
        ("2026-11-23T17:00:00", False),
        ("2026-11-24T12:00:00", False),
    ],
)
def test_a_window_within_a_day(at: str, *, is_active: bool) -> None:
    """A window lasts from its begin until its end, exclusively, on its days."""
    window = MuteWindow(frozenset({0}), time(9), time(17), ZoneInfo("UTC"))

    assert window.is_active(from_datetime(datetime.fromisoformat(at).replace(tzinfo=UTC))) == is_active


@pytest.mark.parametrize(
    ("at", "is_active"),
    [
        ("2026-11-27T21:59:59", False),
        ("2026-11-27T22:00:00", True),
        ("2026-11-28T05:59:59", True),
        ("2026-11-28T06:00:00", False),
        ("2026-11-28T22:00:00", False),
        ("2026-11-27T05:00:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(at: str, *, is_active: bool) -> None:
    """A window of Friday continues on Saturday morning, and Thursday has none."""
    window = MuteWindow(frozenset({4}), time(22), time(6), BERLIN)

    assert window.is_active(from_datetime(datetime.fromisoformat(at).replace(tzinfo=BERLIN))) == is_active


@pytest.mark.parametrize(
    ("at_utc", "is_active"),
    [
        # On 2026-03-29 Berlin goes from 02:00 to 03:00, which is 01:00 UTC.
        ("2026-03-29T00:59:59", False),
        ("2026-03-29T01:00:00", False),
        ("2026-03-29T03:30:00", False),
        ("2026-03-28T21:00:00", True),
        ("2026-03-28T20:59:59", False),
        ("2026-03-29T20:00:00", True),
        ("2026-03-29T19:59:59", False),
        # On 2026-10-25 it goes back from 03:00 to 02:00, which is 01:00 UTC.
        ("2026-10-25T20:59:59", False),
        ("2026-10-25T21:00:00", True),
        ("2026-10-24T20:00:00", True),
    ],
)
def test_it_moves_with_summer_time(at_utc: str, *, is_active: bool) -> None:
    """22:00 in local time is another UTC hour before and after the change."""
    window = MuteWindow(DAYS, time(22), time(23), BERLIN)

    assert window.is_active(from_datetime(datetime.fromisoformat(at_utc).replace(tzinfo=UTC))) == is_active


@pytest.mark.parametrize(
    ("at_utc", "is_active"),
    [
        ("2026-03-29T00:30:00", False),  # 01:30
        ("2026-03-29T01:30:00", False),  # 03:30; 02:30 is skipped
        ("2026-10-25T00:30:00", True),  # 02:30 for the first time
        ("2026-10-25T01:30:00", True),  # and for the second
        ("2026-10-25T02:00:00", False),  # 03:00
        ("2026-10-24T23:59:59", False),  # 01:59:59
    ],
)
def test_an_hour_that_is_skipped_or_repeated(at_utc: str, *, is_active: bool) -> None:
    """Local time decides in skipped and repeated hours."""
    window = MuteWindow(DAYS, time(2), time(3), BERLIN)

    assert window.is_active(from_datetime(datetime.fromisoformat(at_utc).replace(tzinfo=UTC))) == is_active


def test_from_a_time_to_the_same_is_a_whole_day() -> None:
    """A window from midnight to midnight lasts for the whole day."""
    window = MuteWindow(frozenset({5}), time(0), time(0), ZoneInfo("UTC"))
    hours = [
        window.is_active(from_datetime(datetime(2026, 11, day, hour, tzinfo=UTC)))
        for day in (27, 28, 29)
        for hour in (0, 23)
    ]

    assert hours == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("globs", "host", "is_about"),
    [(None, "a", True), (None, "*", True), (("pi-*",), "pi-1", True), (("pi-*",), "a", False), (("*",), "*", False)],
)
def test_whom_it_is_about(globs: tuple[str, ...] | None, host: str, *, is_about: bool) -> None:
    """A window without hosts mutes everything."""
    window = MuteWindow(DAYS, time(0), time(0), BERLIN, None if globs is None else HostGlobs(globs))

    assert window.is_about(host) == is_about


HOUR_US = 3_600_000_000


@given(
    st.frozensets(st.integers(0, 6)),
    st.sampled_from([time(0), time(2, 30), time(9), time(17), time(22, 15)]),
    st.sampled_from([time(0), time(2, 30), time(9), time(17), time(23, 45)]),
    st.sampled_from(["2026-11-20", "2026-03-27", "2026-10-23"]),
)
def test_its_pauses_are_when_it_is_active(days: frozenset[int], begins: time, ends: time, since: str) -> None:
    """The pauses are the instants at which it is active, except when the clock changes at night."""
    window = MuteWindow(days, begins, ends, BERLIN)
    begin = from_datetime(datetime.fromisoformat(since).replace(tzinfo=UTC))
    pauses = list(window.pauses(begin, begin + 96 * HOUR_US))

    for quarter in range(4 * 96):
        at = begin + quarter * HOUR_US // 4
        is_paused = any(one.since <= at < one.until for one in pauses)
        is_night_of_change = since != "2026-11-20" and 45 * HOUR_US <= at - begin <= 53 * HOUR_US
        assert is_paused == window.is_active(at) or (is_paused and is_night_of_change)
