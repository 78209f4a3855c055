"""Times as people and programs write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import from_datetime
from fleet_health.parsing.timestamp import TimeError, parse_epoch, parse_time
from tests.rig.properties import tried

PROPERTY = tried(300)
AT = 1_795_460_100_000_000
NOT_ISO, NO_OFFSET, IMPLAUSIBLE = "time not in ISO 8601", "time without offset", "implausible time"
MOMENTS = st.datetimes(
    min_value=datetime(1900, 1, 3),  # noqa: DTZ001 - the strategy adds the offset
    max_value=datetime(2199, 12, 29),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@PROPERTY
@given(moment=MOMENTS, separator=st.sampled_from("T "))
def test_what_python_writes_is_read_exactly(moment: datetime, separator: str) -> None:
    """Any moment with an offset, to the microsecond."""
    assert parse_time(moment.isoformat(separator)) == from_datetime(moment)


@pytest.mark.parametrize("text", ["1900-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z"])
def test_the_first_and_the_last_plausible_moments_are_read(text: str) -> None:
    """The years from 1900 to 2199 are plausible, others are not."""
    assert parse_time(text) == from_datetime(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NOT_ISO),
        ("now", NOT_ISO),
        ("2026-11-23T18:55:00Zoo", NOT_ISO),
        ("2026-11-23T18:55:00Z\n", NOT_ISO),
        (" 2026-11-23T18:55:00Z", NOT_ISO),
        ("2026-11-23X18:55:00Z", NOT_ISO),
        ("2026-13-23T18:55:00Z", NOT_ISO),
        ("\u0662026-11-23T18:55:00Z", NOT_ISO),
        ("2026-11-23", NO_OFFSET),
        ("2026-11-23T18:55:00", NO_OFFSET),
        ("1899-12-31T23:59:59.999999Z", IMPLAUSIBLE),
        ("1900-01-01T00:30:00+01:00", IMPLAUSIBLE),
        ("2200-01-01T00:00:00Z", IMPLAUSIBLE),
        ("2199-12-31T23:30:00-01:00", IMPLAUSIBLE),
        ("0001-01-01T00:00:00+23:59", IMPLAUSIBLE),
        ("9999-12-31T23:59:59-23:59", IMPLAUSIBLE),
    ],
)
def test_anything_else_is_told_by_its_reason(text: str, reason: str) -> None:
    """The reason is the same for all such texts, so that they can be counted."""
    with pytest.raises(TimeError, match=f"^{reason}$"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("0", 0),
        ("1795460100", AT),
        ("1795460100.0", AT),
        ("1795460100.000001", AT + 1),
        ("1795460100.0000014", AT + 1),
        ("1795460100.0000016", AT + 2),
        ("1.7954601e9", AT),
        ("-0.5", -500_000),
    ],
)
def test_seconds_since_the_epoch_are_read_exactly(text: str, at: int) -> None:
    """To the microsecond, without the rounding of a float."""
    assert parse_epoch(text) == at


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "time not a number of seconds"),
        ("soon", "time not a number of seconds"),
        ("0x10", "time not a number of seconds"),
        ("nan", IMPLAUSIBLE),
        ("sNaN", IMPLAUSIBLE),
        ("-inf", IMPLAUSIBLE),
        ("1e20", IMPLAUSIBLE),
        ("1e999999", IMPLAUSIBLE),
        ("1795460100000", IMPLAUSIBLE),
        ("-1e11", IMPLAUSIBLE),
    ],
)
def test_what_is_no_time_in_seconds_is_told_by_its_reason(text: str, reason: str) -> None:
    """Milliseconds taken for seconds are not plausible either."""
    with pytest.raises(TimeError, match=f"^{reason}$"):
        parse_epoch(text)


@PROPERTY
@given(text=st.text(st.sampled_from("0123456789-:.,+TWZ eExnaif_\0\u0664"), max_size=32))
def test_no_text_makes_it_raise_anything_else(text: str) -> None:
    """A text is a time, or raises TimeError."""
    for parse in (parse_time, parse_epoch):
        try:
            at = parse(text)
        except TimeError:
            continue

        assert from_datetime(datetime.fromisoformat("1900-01-01T00:00:00Z")) <= at
