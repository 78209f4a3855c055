"""Instants are whole microseconds, and converting them loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import describe, from_datetime, isoformat, to_us, utc_hour
from tests.rig.properties import tried

PROPERTY = tried(300)
DAY = timedelta(days=1)
OFFSETS = st.timedeltas(min_value=timedelta(microseconds=1) - DAY, max_value=DAY - timedelta(microseconds=1))
# A day away from the ends of the calendar, so that each moment has a date in UTC as well.
MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the offset
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=OFFSETS.map(timezone),
)
SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000


@PROPERTY
@given(moment=MOMENTS)
def test_a_moment_comes_back_exactly(moment: datetime) -> None:
    """A datetime with any offset is the same moment after conversion to an instant and back."""
    assert datetime.fromisoformat(isoformat(from_datetime(moment))) == moment


@PROPERTY
@given(at=st.integers(from_datetime(datetime(1, 1, 1, tzinfo=UTC)), from_datetime(datetime.max.replace(tzinfo=UTC))))
def test_an_instant_comes_back_exactly(at: int) -> None:
    """An instant within the calendar is the same after conversion to text, in UTC, and back."""
    text = isoformat(at)

    assert from_datetime(datetime.fromisoformat(text)) == at
    assert text.endswith("+00:00")
    assert utc_hour(at) == text[: len("2026-11-23T18")]


@PROPERTY
@given(moment=MOMENTS, duration=st.timedeltas(min_value=-DAY, max_value=DAY))
def test_durations_add_up_exactly(moment: datetime, duration: timedelta) -> None:
    """The distance of two moments equals that of their instants."""
    assert from_datetime(moment + duration) - from_datetime(moment) == to_us(duration)
    assert timedelta(microseconds=to_us(duration)) == duration


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param("1970-01-01T00:00:00+00:00", 0, id="the epoch"),
        pytest.param("1969-12-31T23:59:59.999999+00:00", -1, id="a microsecond before it"),
        pytest.param("2026-11-23T18:55:00+00:00", 1_795_460_100_000_000, id="in UTC"),
        pytest.param("2026-11-23T18:55:00.000001+00:00", 1_795_460_100_000_001, id="with a microsecond"),
        pytest.param("2026-11-23T20:55:00+02:00", 1_795_460_100_000_000, id="the same with an offset to the east"),
        pytest.param("2026-11-23T13:25:00-05:30", 1_795_460_100_000_000, id="the same with an offset to the west"),
    ],
)
def test_a_moment_is_microseconds_since_the_epoch(text: str, at: int) -> None:
    """The offset is taken into account."""
    assert from_datetime(datetime.fromisoformat(text)) == at


def test_a_moment_without_offset_is_refused() -> None:
    """A naive datetime could be any of 24 hours, so it raises TypeError."""
    with pytest.raises(TypeError):
        from_datetime(datetime(2026, 11, 23))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0 s"),
        (SECOND - 1, "999 ms"),
        (SECOND, "1 s"),
        (42 * SECOND, "42 s"),
        (MINUTE - 1, "59 s"),
        (MINUTE, "1 min"),
        (31 * MINUTE, "31 min"),
        (31 * MINUTE + 20 * SECOND, "31 min 20 s"),
        (HOUR - 1, "59 min 59 s"),
        (HOUR, "1 h"),
        (HOUR + 59 * SECOND, "1 h"),
        (23 * HOUR + 5 * MINUTE, "23 h 5 min"),
        (24 * HOUR, "1 d"),
        (24 * HOUR + 59 * MINUTE, "1 d"),
        (26 * HOUR + 5 * MINUTE, "1 d 2 h"),
        (12 * 24 * HOUR + 3 * HOUR, "12 d 3 h"),
        (3650 * 24 * HOUR, "3650 d"),
    ],
)
def test_a_duration_is_said_as_people_do(duration: int, text: str) -> None:
    """At most two units, rounded down; a unit that is zero is left out."""
    assert describe(duration) == text
