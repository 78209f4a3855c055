"""The wall clock, and noticing when it is set. Whoever needs the present is handed `now`; nobody else asks for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.domain.instant import Instant


def now() -> Instant:
    """Tell the present."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Tell the microseconds that have passed since some time ago. They stand still while the machine is suspended."""
    return time.monotonic_ns() // 1000


class StepWatch:
    """Notices that the wall clock went another way than time did: it was set, or the machine was suspended."""

    def __init__(self, wall: Callable[[], Instant] = now, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset_us = self._wall() - self._monotonic()

    def step_us(self) -> int:
        """Say by how many microseconds the wall clock has stepped since this was last asked; negative if back."""
        before_us, self._offset_us = self._offset_us, self._wall() - self._monotonic()
        return self._offset_us - before_us
