"""When a failed delivery is tried again."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Protocol

from fleet_health.model.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.instant import Instant

LAST_WAIT_S = 300.0
"""The longest wait between two attempts, unless the destination asks for a longer one."""
LONGEST_WAIT_S = 86_400.0
"""The longest wait between two attempts that a destination can ask for."""


class Clock(Protocol):
    """The wall clock, and a clock that is never set."""

    def now(self) -> Instant:
        """Return the present in microseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Return the seconds since some instant in the past."""
        ...


class SystemClock:
    """The clocks of the machine."""

    def now(self) -> Instant:
        """Return the present."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return the seconds since some instant in the past."""
        return time.monotonic()


class Retry:
    """When the next attempt may be: later after each failure, with jitter, or when the destination asks for it."""

    def __init__(self, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._backoff = Backoff(LAST_WAIT_S)
        self._at = 0.0

    def fail(self, retry_after_s: float | None = None) -> float:
        """Record a failure; return the number of seconds until the next attempt."""
        wait_s = self._backoff.wait_s * (0.75 + self._jitter() / 2)
        self._backoff.grow()
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, LONGEST_WAIT_S))
        self._at = self._clock.monotonic() + wait_s
        return wait_s

    def succeed(self) -> None:
        """Record a success: the next attempt may be at once."""
        self._backoff.reset()
        self._at = 0.0

    @property
    def wait_s(self) -> float:
        """The number of seconds until the next attempt; 0 if it may be now."""
        return max(0.0, self._at - self._clock.monotonic())
