"""Find the schedule of the uploads of a host, such as `daily 02:00 +- 1h`. Pure.

Only schedules that a person would write are found: a time of day, on every day, on working days, or on one day of the
week. Times are in UTC, so the tolerance covers daylight saving time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import HOUR_US
from fleet_health.model.rhythm import BIN_US

if TYPE_CHECKING:
    from fleet_health.model.rhythm import Rhythm

_MINUTES_A_BIN = BIN_US * 60 / HOUR_US
_BINS_A_DAY = 24 * HOUR_US // BIN_US
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_THURSDAY = 3
"""The weekday of the epoch."""
_STEP_MINUTES, _LEAST_MINUTES, _MOST_MINUTES = 15, 30, 4 * 60
"""The step of tolerances, the smallest tolerance, and the largest of a useful schedule."""
_LEAST_DAYS, _LEAST_WEEKS = 5, 3
_KEPT = 0.8
"""The share of scheduled days on which a host must have uploaded, because the others may be faults or holidays."""


def kept_schedule(rhythm: Rhythm) -> str | None:
    """Return the schedule that all uploads of a host match, as written in a configuration; None if there is none."""
    bins = [rhythm.newest - age for age, bit in enumerate(reversed(f"{rhythm.bits:b}")) if bit == "1"]
    # Offsets from the time of day of one upload, so that times around midnight stay together.
    pivot = bins[0] % _BINS_A_DAY
    shifts = [(number - pivot + _BINS_A_DAY // 2) % _BINS_A_DAY - _BINS_A_DAY // 2 for number in bins]
    earliest, latest = min(shifts), max(shifts)
    middle = (earliest + latest + 1) * _MINUTES_A_BIN / 2
    # Twice the observed tolerance, because the next upload may be earlier or later than all of them.
    tolerance = max(_LEAST_MINUTES, _rounded_up((latest - earliest + 1) * _MINUTES_A_BIN))
    if tolerance > _MOST_MINUTES:
        return None
    # The day on which each upload was expected: that of the middle of the schedule.
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
    """Return the name for the days (from the epoch) on which a host uploaded; None if there is no name."""
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
