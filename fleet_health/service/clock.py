"""Read the wall clock, and detect that it was set. Other modules do not read it: they are passed `now`."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.model.clock_evidence import BEHIND_LIMIT_US
from fleet_health.model.instant import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.instant import Instant


def now() -> Instant:
    """Return the present."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Return the microseconds since a fixed instant, without the time in which the machine was suspended."""
    return time.monotonic_ns() // 1000


def booted_at(now: Instant) -> Instant:
    """Return when this machine booted, given the present."""
    return now - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def asleep_us() -> int:
    """Return the microseconds for which this machine has been suspended since it booted."""
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()) // 1000


# systemd-timesyncd touches it at each successful synchronization, every 34 minutes at the latest.
SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")


def is_synchronized(now: Instant, file: Path | None = None) -> bool:
    """Return whether a time server has confirmed the clock within the hour.

    The kernel also knows this, with chrony as well, but `ProtectClock=` denies the system call. If the clock was set
    back since, the time of the file is ahead of the present and proves nothing.
    """
    try:
        at = (file or SYNCHRONIZED).stat().st_mtime_ns // 1000
    except OSError:
        return False
    return now - HOUR_US <= at <= now + BEHIND_LIMIT_US


def confirmation_beside(control_path: Path) -> Path:
    """Return the file with which root confirms the clock. It is in the directory of the control socket."""
    return control_path.with_name("clock-is-right")


def is_confirmed(now: Instant, file: Path) -> bool:
    """Return whether root or our own user confirmed the clock by touching the file within the hour.

    Although only they may write to its directory, a file of another user is ignored.
    """
    try:
        found = file.lstat()
    except OSError:
        return False
    is_trusted = stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid())
    return is_trusted and now - HOUR_US <= found.st_mtime_ns // 1000 <= now + BEHIND_LIMIT_US


class StepWatch:
    """Detects that the clock was set or the machine suspended: the wall clock and the monotonic clock diverge."""

    def __init__(
        self,
        wall: Callable[[], Instant] = now,
        monotonic: Callable[[], int] = monotonic_us,
        asleep: Callable[[], int] = asleep_us,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._asleep = asleep
        self._offset_us = self._wall() - self._monotonic()
        self._asleep_us = self._asleep()
        self.slept_us = 0
        """The part of the latest step in which the machine was suspended, in microseconds."""

    def look(self) -> tuple[Instant, int]:
        """Return the present, and the step of the clock since the last call in microseconds; negative if set back.

        Both come from one reading of the clock, so the next call sees a step that comes right after it.
        """
        now, before_us = self._wall(), self._offset_us
        self._offset_us = now - self._monotonic()
        asleep_before_us, self._asleep_us = self._asleep_us, self._asleep()
        self.slept_us = self._asleep_us - asleep_before_us
        return now, self._offset_us - before_us
