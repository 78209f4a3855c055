"""Notify systemd (sd_notify(3)), and feed its watchdog while every part of the service is alive.

Feeding the watchdog by a timer would prove only that the timer runs. Instead each part has a pulse, and each beat sets
a deadline for the next one. If a beat is overdue, the watchdog is no longer fed, and systemd restarts the service.
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
    """Send assignments such as `READY=1` in one message. Do nothing without a service manager."""
    with suppress(OSError):
        daemon.notify("\n".join(assignments))


def watchdog_interval() -> float | None:
    """Return the timeout of systemd's watchdog in seconds; None if it is off."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6 or None
    except (KeyError, ValueError):
        return None


class Pulse:
    """The pulse of one part of the service."""

    def __init__(self, part: str, patience: float) -> None:
        """Start alive.

        Args:
            part: The part's name.
            patience: How many seconds a beat may be late.

        """
        self.part = part
        self._patience = patience
        self._deadline: float | None = None
        self.beat()

    def beat(self, next_within: float = 0.0) -> None:
        """Beat, and expect the next beat within `next_within` seconds."""
        self._deadline = time.monotonic() + next_within + self._patience

    def rest(self) -> None:
        """Suspend the deadline until the next beat, because the part is idle."""
        self._deadline = None

    @property
    def is_overdue(self) -> bool:
        """Whether a beat is overdue."""
        return self._deadline is not None and time.monotonic() > self._deadline


async def feed_watchdog(interval: float, pulses: Iterable[Pulse]) -> NoReturn:
    """Feed systemd's watchdog as long as no pulse is overdue."""
    reported: set[str] = set()
    while True:
        overdue = {pulse.part for pulse in pulses if pulse.is_overdue}
        if overdue - reported:
            _log.error("part not responding, watchdog no longer fed", parts=sorted(overdue))
        reported = overdue
        if not overdue:
            notify("WATCHDOG=1")
        await asyncio.sleep(interval / 3)
