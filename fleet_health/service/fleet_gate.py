"""The fleet, and the gate before it: while another thread reads the fleet, what the sources deliver waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

from fleet_health.model.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class FleetGate:
    """Lets one thread at a time have the fleet to itself.

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
        """Give the fleet to another thread: it does not change until the context ends, and then catches up.

        One caller has it at a time, for evaluating may make the fleet forget what is too long ago.
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
        """Return a function that records observations at once, or when the pause ends."""

        def deliver(observations: Any) -> None:
            if self._is_paused:
                self._waiting.append((record, observations))
            else:
                record(observations)

        return deliver
