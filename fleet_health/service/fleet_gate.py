"""Exclusive access to the fleet: while another thread reads it, observations from the sources wait."""

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
        fleet: The fleet. Only the event loop may change it, and only through functions that `guarded` returned.

    """

    def __init__(self) -> None:
        self.fleet = Fleet()
        self._is_paused = False
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[Fleet]:
        """Yield the fleet for reading in another thread. Observations are recorded when the context ends.

        Callers take turns, because an evaluation may make the fleet forget old observations.
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
        """Return a function that calls `record` with observations, at once or when the pause ends."""

        def deliver(observations: Any) -> None:
            if self._is_paused:
                self._waiting.append((record, observations))
            else:
                record(observations)

        return deliver
