"""When to evaluate: at the multiples of the tick since the Unix epoch (for five minutes: :00, :05 and so on)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.instant import Instant

_STRIDE_US = 60 * SECOND_US


def next_tick_at(now: Instant, tick_us: int) -> Instant:
    """Return the first multiple of the tick strictly after `now`."""
    return (now // tick_us + 1) * tick_us


def first_tick_at(now: Instant, until: Instant, tick_us: int, holds: Callable[[Instant], bool]) -> Instant | None:
    """Return the first tick after `now` and before `until` at which something holds; None if there is none.

    It is looked for once a minute, and from there back tick by tick: what holds for less than a minute may go unfound.
    """
    stride_us = max(tick_us, -(-_STRIDE_US // tick_us) * tick_us)
    first = at = next_tick_at(now, tick_us)
    while at < until:
        if holds(at):
            passed_over = range(max(first, at - stride_us + tick_us), at, tick_us)
            return next((tick for tick in passed_over if holds(tick)), at)
        at = next_tick_at(at, stride_us)
    return None
