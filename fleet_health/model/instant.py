"""Instants and durations as whole microseconds.

The journal stamps its entries in microseconds since the Unix epoch, and the rules are exact to one of them, so
that is the unit of the whole core. A float of seconds could not even hold today's date to the microsecond
without rounding in arithmetic; a `datetime` costs ten times as much to compare.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import date, time
    from zoneinfo import ZoneInfo

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def from_datetime(moment: datetime) -> Instant:
    """Convert an aware datetime, exactly. A naive one raises TypeError."""
    since = moment - _EPOCH
    # Three times as fast as to divide by a microsecond, and this is done for every row of an index.
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def to_us(duration: timedelta) -> int:
    """Convert a duration to whole microseconds, exactly."""
    return duration // _MICROSECOND


def wall_readings(day: date, at: time, zone: ZoneInfo) -> tuple[Instant, Instant]:
    """Return when the wall clock of a zone shows a time on a day: the earlier and the later reading.

    They differ where the clock is set by an hour, so that it shows the time twice, or never.
    """
    there = datetime.combine(day, at, tzinfo=zone)
    first, second = (from_datetime(there.replace(fold=fold).astimezone(UTC)) for fold in (0, 1))
    return min(first, second), max(first, second)


def isoformat(at: Instant) -> str:
    """Write an instant as ISO 8601 in UTC with its offset, such as `2026-11-23T18:55:00+00:00`."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat()


@lru_cache(maxsize=64)
def utc_hour(at: Instant) -> str:
    """Name the UTC hour that holds an instant: `2026-11-23T18`."""
    return isoformat(at)[:13]


def describe(duration_us: int) -> str:
    """Return a duration as people do, to two units and rounded down: `250 ms`, `42 s`, `31 min`, `5 h 2 min`."""
    if 0 < duration_us < SECOND_US:
        return f"{duration_us // 1000} ms"
    seconds = duration_us // SECOND_US
    for size, unit, smaller_size, smaller_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size} {unit} {rest} {smaller_unit}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"
