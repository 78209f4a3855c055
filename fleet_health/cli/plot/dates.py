"""Where the time axis of a picture has its ticks, and what they say: round instants in UTC, evenly apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import HOUR_US, SECOND_US, isoformat

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant

DAY_US = 24 * HOUR_US

_MOST_TICKS = 12
_MINUTE_US = 60 * SECOND_US
_STEPS = (
    *(seconds * SECOND_US for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MINUTE_US for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR_US for hours in (1, 2, 3, 6, 12)),
    *(days * DAY_US for days in (1, 2, 3, 7, 14, 28)),
)


def ticks(since: Instant, until: Instant) -> list[tuple[Instant, str]]:
    """Choose the ticks between two instants, both included, each with its label."""
    step = next((step for step in _STEPS if until - since <= step * _MOST_TICKS), 0)
    if not step:
        step = -(-(until - since) // (_MOST_TICKS * _STEPS[-1])) * _STEPS[-1]
    # Counted from the first midnight: from 1970 on, steps of several days would begin anywhere.
    midnight = -(-since // DAY_US) * DAY_US
    first = midnight - (midnight - since) // step * step
    has_years = isoformat(since)[:4] != isoformat(until)[:4]
    return [(at, _label(at, step, has_years=has_years)) for at in range(first, until + 1, step)]


def _label(at: Instant, step: int, *, has_years: bool) -> str:
    """Name what is new at a tick: the day at midnight, else the time."""
    written = isoformat(at)
    if at % DAY_US == 0:
        return written[:10] if has_years else written[5:10]
    return written[11:16] if step % _MINUTE_US == 0 else written[11:19]
