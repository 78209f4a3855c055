"""The schedule that a host keeps to, as its uploads show it: `daily 02:00 +- 1h`. Pure.

What somebody could have written is found: a time of the day, on each day, on each working day, or on one day of the
week. It is in UTC, so a tolerance covers the hour by which the clocks of the host are moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.cadence import BIN_US
from fleet_health.model.instant import HOUR_US

if TYPE_CHECKING:
    from fleet_health.model.cadence import Rhythm

_MINUTES_A_BIN = BIN_US * 60 / HOUR_US
_BINS_A_DAY = 24 * HOUR_US // BIN_US
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_THURSDAY = 3
"""The day of the epoch."""
_STEP_MINUTES, _LEAST_MINUTES, _MOST_MINUTES = 15, 30, 4 * 60
"""In what steps a tolerance is written, the shortest, and the longest that still says when uploads are expected."""
_LEAST_DAYS, _LEAST_WEEKS = 5, 3
_KEPT = 0.8
"""The share of its days on which the host must have uploaded: the others were faults or holidays."""


def kept_schedule(rhythm: Rhythm) -> str | None:
    """Return the schedule that all uploads of a host keep to, as it is configured; None if they keep to none."""
    bins = [rhythm.newest - age for age, bit in enumerate(reversed(f"{rhythm.bits:b}")) if bit == "1"]
    # As distances from the time of day of any one of them: so a time around midnight is one time.
    pivot = bins[0] % _BINS_A_DAY
    shifts = [(number - pivot + _BINS_A_DAY // 2) % _BINS_A_DAY - _BINS_A_DAY // 2 for number in bins]
    earliest, latest = min(shifts), max(shifts)
    middle = (earliest + latest + 1) * _MINUTES_A_BIN / 2
    # As much again as they were apart, for the next one may be the earliest or the latest of all.
    tolerance = max(_LEAST_MINUTES, _rounded_up((latest - earliest + 1) * _MINUTES_A_BIN))
    if tolerance > _MOST_MINUTES:
        return None
    # On which day each was expected: the one on which the middle of its time is.
    at = round((pivot * _MINUTES_A_BIN + middle) / _STEP_MINUTES) * _STEP_MINUTES
    days = {
        (number - shift - pivot) // _BINS_A_DAY + at // (24 * 60) for number, shift in zip(bins, shifts, strict=True)
    }
    names = _names_of(days)
    if names is None:
        return None
    hours, minutes = divmod(at % (24 * 60), 60)
    return f"{names} {hours:02}:{minutes:02} +- {tolerance}m"


def _names_of(days: set[int]) -> str | None:
    """Return what the days since the epoch on which a host uploaded are called; None if they are no such days."""
    weekdays = {(day + _THURSDAY) % 7 for day in days}
    every = range(min(days), max(days) + 1)
    if len(weekdays) == 1:
        (weekday,) = weekdays
        is_kept = len(days) >= _LEAST_WEEKS and len(days) >= _KEPT * len(every[::7])
        return _WEEKDAYS[weekday] if is_kept else None
    name, expected = "daily", len(every)
    if weekdays <= set(range(5)):
        name, expected = "weekdays", sum((day + _THURSDAY) % 7 < 5 for day in every)  # noqa: PLR2004 - Monday to Friday
    return name if len(days) >= max(_LEAST_DAYS, _KEPT * expected) else None


def _rounded_up(minutes: float) -> int:
    return int(-(-minutes // _STEP_MINUTES)) * _STEP_MINUTES
