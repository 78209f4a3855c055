"""Speaking with systemd (sd_notify(3)), and showing it that every part is alive.

A watchdog that is fed by a timer proves that the timer runs. Here each part gives signs of life of its own, each with
a deadline for the next; one that is overdue stops the feeding, and systemd restarts the service.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import structlog
from systemd import daemon

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = structlog.get_logger("fleet_health.service")


def notify(*assignments: str) -> None:
    """Send assignments such as `READY=1` in one message; does nothing where nobody listens, or has gone."""
    with suppress(OSError):
        daemon.notify("\n".join(assignments))


def watchdog_interval() -> float | None:
    """Return within how many seconds systemd wants to be fed; None if it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6 or None
    except (KeyError, ValueError):
        return None


class Pulse:
    """One part's signs of life."""

    def __init__(self, part: str, patience: float) -> None:
        """Start alive.

        Args:
            part: The part's name.
            patience: How many seconds beyond what it says itself a part may take.

        """
        self.part = part
        self._patience = patience
        self._deadline: float | None = None
        self.beat()

    def beat(self, next_within: float = 0.0) -> None:
        """Show a sign of life, and say within how many seconds at most the next follows."""
        self._deadline = time.monotonic() + next_within + self._patience

    def rest(self) -> None:
        """Note that there is nothing to do until somebody asks: no sign is due."""
        self._deadline = None

    @property
    def is_overdue(self) -> bool:
        """True if a sign should have come by now."""
        return self._deadline is not None and time.monotonic() > self._deadline


async def feed_watchdog(interval: float, pulses: Iterable[Pulse]) -> NoReturn:
    """Feed systemd's watchdog as long as no part is overdue."""
    said: set[str] = set()
    while True:
        overdue = {pulse.part for pulse in pulses if pulse.is_overdue}
        if overdue - said:
            _log.error("part not responding, watchdog no longer fed", parts=sorted(overdue))
        said = overdue
        if not overdue:
            notify("WATCHDOG=1")
        await asyncio.sleep(interval / 3)
