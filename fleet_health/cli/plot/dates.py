"""Choose the ticks of the time axis and their labels: round local times at equal distances."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fleet_health.model.instant import HOUR_US, SECOND_US, from_datetime, isoformat
from fleet_health.parsing.local_time import local

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
    """Return the ticks between two instants, inclusive, each with its label."""
    step = next((step for step in _STEPS if until - since <= step * _MOST_TICKS), 0)
    if not step:
        step = -(-(until - since) // (_MOST_TICKS * _STEPS[-1])) * _STEPS[-1]
    begin, end = _on_the_clock(since), _on_the_clock(until)
    # Counted from the first midnight, because steps of several days counted from 1970 would begin anywhere.
    midnight = -(-begin // DAY_US) * DAY_US
    first = midnight - (midnight - begin) // step * step
    has_years = isoformat(begin)[:4] != isoformat(end)[:4]
    shown = {_instant(clock): _label(clock, step, has_years=has_years) for clock in range(first, end + 1, step)}
    return [(at, label) for at, label in sorted(shown.items()) if since <= at <= until]


def _on_the_clock(at: Instant) -> int:
    """Return the reading of a local clock at an instant, as the instant at which a clock in UTC has that reading."""
    return from_datetime(datetime.fromisoformat(f"{local(at)[:19]}+00:00")) + at % SECOND_US


def _instant(clock: int) -> Instant:
    """Return the first instant at which a local clock has a reading; there are two when summer time ends."""
    return from_datetime(datetime.fromisoformat(isoformat(clock)).replace(tzinfo=None).astimezone())


def _label(clock: int, step: int, *, has_years: bool) -> str:
    """Return the label of a tick: the date at midnight, else the time of day."""
    written = isoformat(clock)
    if clock % DAY_US == 0:
        return written[:10] if has_years else written[5:10]
    return written[11:16] if step % _MINUTE_US == 0 else written[11:19]
