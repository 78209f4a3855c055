"""Access to the fleet: while another thread reads it, observations from the sources wait."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

from fleet_health.model.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class FleetGate:
    """Gives one thread at a time exclusive access to the fleet.

    Attributes:
        fleet: The fleet. The event loop alone may change it, and only through what `guarded` returns.

    """

    def __init__(self) -> None:
        self.fleet = Fleet()
        self._is_paused = False
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[Fleet]:
        """Yield the fleet to read in another thread. Observations wait until the context ends, and are recorded then.

        Only one caller at a time has the fleet, because an evaluation may make it forget old observations.
        """
        async with self._lock:
            self._is_paused = True
            try:
                yield copy(self.fleet)  # a reload may replace its tables
            finally:
                self._is_paused = False
                for record, observations in self._waiting:
                    record(observations)
                self._waiting.clear()

    def guarded(self, record: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a function that calls `record` with observations at once, or when the pause ends."""

        def deliver(observations: Any) -> None:
            if self._is_paused:
                self._waiting.append((record, observations))
            else:
                record(observations)

        return deliver
