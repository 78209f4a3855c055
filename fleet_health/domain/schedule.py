"""When to evaluate: at the multiples of the tick since the Unix epoch (for five minutes: :00, :05 and so on)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_health.domain.instant import Instant


def next_tick_at(now: Instant, tick_us: int) -> Instant:
    """Give the first multiple of the tick strictly after `now`."""
    return (now // tick_us + 1) * tick_us
