"""Uploads and rhythms for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.cadence import Cadence
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import Upload
from fleet_health.model.rhythm import Rhythm

if TYPE_CHECKING:
    from fleet_health.model.learned_limit import LearnedLimit

MINUTE_US, DAY_US = 60 * SECOND_US, 24 * HOUR_US
WEEK_US = 7 * DAY_US
MONDAY = 1_795_392_000_000_000
"""2026-11-23T00:00:00Z."""
FLOOR_US, CEILING_US = 30 * MINUTE_US, 8 * DAY_US
FOUR_WEEKS = MONDAY - 4 * WEEK_US


def every(step_us: int, since: int, until: int) -> list[int]:
    """Return instants at a distance."""
    return list(range(since, until, step_us))


def by_day(hours: tuple[float, float], since: int, until: int, days: int = 5) -> list[int]:
    """Return instants between two hours of each of the first days of each week."""
    return [
        at
        for day in range(since, until, DAY_US)
        if (day - MONDAY) // DAY_US % 7 < days
        for at in every(5 * MINUTE_US, day + int(hours[0] * HOUR_US), day + int(hours[1] * HOUR_US))
    ]


def cadence_of(**instants: list[int]) -> Cadence:
    """Return what is known by the uploads of some hosts."""
    cadence = Cadence(1000)
    cadence.record(Upload(host, at) for host, ats in instants.items() for at in ats)
    return cadence


def limit_of(instants: list[int]) -> LearnedLimit:
    """Return the limit of a host that no other one uploads beside."""
    cadence = Cadence(1)
    cadence.record(Upload("pi-1", at) for at in instants)
    return cadence.limit_of("pi-1", Rhythm(0, 0), FLOOR_US, CEILING_US)


def steady_then(instants: list[int]) -> list[int]:
    """Return uploads every five minutes for weeks until an hour before others, and these."""
    return [*every(5 * MINUTE_US, FOUR_WEEKS, instants[0] - HOUR_US), *instants]
