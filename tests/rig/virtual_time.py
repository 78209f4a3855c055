"""Time that jumps: an event loop that has nothing left to do but wait for a timer is at that timer's instant at once.

The idea is trio's autojump clock. Everything else is real: files, descriptors, sockets, signals, worker threads. What
they do takes real time and no virtual time: the clock stands still while the loop has anything to run, while a
descriptor is readable, and while a worker thread is at work.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from contextlib import ExitStack, contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any
from unittest import mock

from fleet_health.service import clock, intake
from fleet_health.service import service_manager as notify
from fleet_health.sources.index import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

_TOLD_BY_VIRTUAL_TIME = (
    clock,  # `now` and `monotonic_us`: both are this one time, so the clock never seems to be set
    notify,  # when a part's next sign of life is due
    intake,  # once a minute what was rejected is said
    tail,  # for a minute a file that was replaced is held open
)
"""The modules whose `time` is virtual.

Left real, because what they measure is real: `sources.journal.reading`, how long a slice holds the loop up;
`sources.journal.entry_reader`, what libsystemd says of its own timeout; `records.alert_log`, how long another
process keeps the lock; `daemon`, the timestamp that systemd compares with its own clock.
"""


class VirtualTime:
    """A clock that is moved by hand; to the modules above it is the module `time`."""

    CLOCK_BOOTTIME, CLOCK_MONOTONIC = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC

    def __init__(self, wall_us: int) -> None:
        """Begin at an instant, in microseconds since the epoch."""
        self._wall_us = wall_us
        self._passed_us = 0

    def advance(self, seconds: float) -> None:
        """Let time pass; at least a microsecond, or a timer due in less would never come."""
        self._passed_us += max(1, ceil(seconds * 1e6))

    def now(self) -> int:
        """Return the microseconds since the epoch."""
        return self._wall_us + self._passed_us

    def time_ns(self) -> int:
        """Return the nanoseconds since the epoch."""
        return self.now() * 1000

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self._passed_us / 1e6

    def monotonic_ns(self) -> int:
        """Return the nanoseconds that have passed."""
        return self._passed_us * 1000

    def clock_gettime_ns(self, clock: int) -> int:
        """Return the nanoseconds that have passed, by any clock: nothing ever sleeps here."""
        del clock
        return self._passed_us * 1000

    @contextmanager
    def told(self) -> Iterator[None]:
        """Have the service told this time for as long as a context lasts."""
        with ExitStack() as patches:
            for module in _TOLD_BY_VIRTUAL_TIME:
                patches.enter_context(mock.patch.object(module, "time", self))
            yield


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self, time: VirtualTime) -> None:
        self._virtual_time = time
        self._jumping = _JumpingSelector(time)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self._virtual_time.monotonic()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run in a worker thread; until it is done no time passes."""
        self._jumping.in_flight += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._land)
        return future

    async def shutdown_default_executor(self, *limit: Any) -> None:
        """Wait for the worker threads, likewise."""
        self._jumping.in_flight += 1
        try:
            await super().shutdown_default_executor(*limit)
        finally:
            self._jumping.in_flight -= 1

    def _land(self, _future: asyncio.Future[Any]) -> None:
        self._jumping.in_flight -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that waits for nothing but what is really under way, and otherwise jumps."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self.in_flight = 0
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        is_due = timeout is not None and timeout <= 0
        if timeout is None or (self.in_flight and not is_due):
            return super().select(None)  # a thread that is done makes a descriptor readable
        events = super().select(0)
        if not events and not is_due:
            self._time.advance(timeout)
        return events
