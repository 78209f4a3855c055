"""Times on the command line, in the forms that people write."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.cli.when import parse_when
from fleet_health.model.instant import HOUR_US, SECOND_US, isoformat
from fleet_health.parsing.local_time import local, localized
from fleet_health.parsing.timestamp import TimeError, parse_time

NOW = parse_time("2026-11-23T18:55:07.25Z")  # a Monday; 19:55:07 in Berlin


pytestmark = pytest.mark.usefixtures("in_berlin")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("now", "2026-11-23T18:55:07.25Z"),
        ("today", "2026-11-22T23:00:00Z"),
        ("Yesterday", "2026-11-21T23:00:00Z"),
        ("yesterday 18:55", "2026-11-22T17:55:00Z"),
        ("yesterday UTC", "2026-11-22T00:00:00Z"),
        ("18:55", "2026-11-23T17:55:00Z"),
        ("18:55Z", "2026-11-23T18:55:00Z"),
        ("2026-11-20", "2026-11-19T23:00:00Z"),
        ("2026-07-20", "2026-07-19T22:00:00Z"),
        ("2026-11-20Z", "2026-11-20T00:00:00Z"),
        ("2026-11-20T18:55", "2026-11-20T17:55:00Z"),
        ("2026-11-20 18:55:30", "2026-11-20T17:55:30Z"),
        ("  2026-11-20  18:55:30.5 ", "2026-11-20T17:55:30.5Z"),
        ("2026-11-20T18:55:30Z", "2026-11-20T18:55:30Z"),
        ("2026-11-20 18:55:30+01:00", "2026-11-20T17:55:30Z"),
        ("2026-11-20 18:55:30 -0330", "2026-11-20T22:25:30Z"),
        ("2026-11-20 18:55 UTC", "2026-11-20T18:55:00Z"),
        ("2026-11-20 18:55 America/New_York", "2026-11-20T23:55:00Z"),
        ("20261120T185500Z", "2026-11-20T18:55:00Z"),
        ("3d", "2026-11-20T18:55:07.25Z"),
        ("3d ago", "2026-11-20T18:55:07.25Z"),
        ("1w", "2026-11-16T18:55:07.25Z"),
        ("1h30m", "2026-11-23T17:25:07.25Z"),
        ("0.5h", "2026-11-23T18:25:07.25Z"),
        ("0s", "2026-11-23T18:55:07.25Z"),
        ("1795000000", "2026-11-18T11:06:40Z"),
        ("@1795000000.5", "2026-11-18T11:06:40.5Z"),
        # Of the hour that is shown twice it is the first; in the hour that is skipped, the offset before it holds.
        ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
        ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
        ("2026-03-29 02:30 Europe/Berlin", "2026-03-29T01:30:00Z"),
    ],
)
def test_a_time_is_read_as_people_write_it(written: str, meant: str) -> None:
    """The local zone is the default. A duration means so long ago."""
    assert isoformat(parse_when(written, NOW)) == isoformat(parse_time(meant))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2h", "2026-11-23T20:55:07.25Z"),
        ("in 2h", "2026-11-23T20:55:07.25Z"),
        ("tomorrow", "2026-11-23T23:00:00Z"),
        ("tomorrow 08:00", "2026-11-24T07:00:00Z"),
    ],
)
def test_a_time_to_come_is_counted_forwards(written: str, meant: str) -> None:
    """A duration means so long from now."""
    assert isoformat(parse_when(written, NOW, is_ahead=True)) == isoformat(parse_time(meant))


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "T", "Z", "UTC", "soon", "-", "@", "3x", "2026-13-01", "2026-02-30", "2026-11-20T25:00", "24:00:01"),
        *("2026-11-20 18:55 Mars/Olympus", "2026-11-20 18:55+99:00", "2026-11-20T", "9999999d", "999999999999999999w"),
        *("1e999", "nan", "0001-01-01", "9999-12-31", "2026-11-20x18:55", "3d 3d", "yesterdayZ18:55", "../etc/passwd"),
        *("today18:55", "2026-11-2018:55", "\u0663d", "2026-11-20 18:55 ../../etc/passwd"),
    ],
)
def test_what_is_no_time_is_refused(written: str) -> None:
    """This includes days that are not in the calendar, and years out of range."""
    with pytest.raises(TimeError):
        parse_when(written, NOW)


def test_a_date_is_not_taken_for_a_number_of_seconds() -> None:
    """`20261120` would be a day in 1970."""
    with pytest.raises(TimeError, match=r"a date is written 2026-11-20, and seconds since the epoch @20261120"):
        parse_when("20261120", NOW)


@given(st.integers(0, 4_000_000_000))
def test_what_is_written_is_read_back(seconds: int) -> None:
    """Each printed time is a valid argument of any command, through every change to summer time."""
    at = seconds * SECOND_US

    assert parse_when(local(at), NOW) == at
    assert localized(isoformat(at)) == local(at)


@given(st.text())
def test_nothing_makes_it_fail(text: str) -> None:
    """Any text is parsed, or refused with a reason. A sentence without a time does not change."""
    for is_ahead in (False, True):
        with suppress(TimeError):
            assert abs(parse_when(text, NOW, is_ahead=is_ahead)) < 1_000_000 * 24 * HOUR_US
    assert "+00:00" in text or "Z" in text or localized(text) == text
