"""The wall clock, and waiting for an instant on it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fleet_health.domain.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.domain.instant import Instant

STRIDE = 15.0
"""The longest stretch slept at once, in seconds: the clock may be set while we sleep."""


def now() -> Instant:
    """Tell the present."""
    return time.time_ns() // 1000


async def sleep_until(at: Instant, clock: Callable[[], Instant], on_stride: Callable[[], None]) -> None:
    """Sleep until the clock shows an instant or later, in strides of at most `STRIDE`, each announced."""
    while (remaining := (at - clock()) / SECOND_US) > 0:
        on_stride()
        await asyncio.sleep(min(remaining, STRIDE))
