"""The wall clock, and how it is noticed that it was set. Only this module reads it; others are passed `now`."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.model.clock_evidence import BEHIND_LIMIT_US
from fleet_health.model.instant import HOUR_US
from fleet_health.sources.state import Phase, SourceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.clock_evidence import Contradiction
    from fleet_health.model.instant import Instant


def now() -> Instant:
    """Return the present."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Return the microseconds since a fixed instant. They stop while the machine is suspended."""
    return time.monotonic_ns() // 1000


def booted_at(now: Instant) -> Instant:
    """Return when this machine booted, given the present. Time in which it was suspended counts."""
    return now - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def asleep_us() -> int:
    """Return the microseconds for which this machine has been suspended since it booted."""
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()) // 1000


# systemd-timesyncd touches it at each successful synchronization, every 34 minutes at the latest.
SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")


def is_synchronized(now: Instant, file: Path | None = None) -> bool:
    """Return whether a time server has confirmed the clock within the hour.

    The kernel knows it as well, for chrony too, but `ProtectClock=` denies the system call. If the clock was set back
    since, the time of the file is ahead of the present and proves nothing.
    """
    try:
        at = (file or SYNCHRONIZED).stat().st_mtime_ns // 1000
    except OSError:
        return False
    return now - HOUR_US <= at <= now + BEHIND_LIMIT_US


STATE_ALONE_US = HOUR_US // 2
"""For how long the saved state must be the only record that contradicts the clock before it is ignored."""


def confirmation_beside(control_path: Path) -> Path:
    """Return the file with which root confirms the clock: it is in the directory of the control socket."""
    return control_path.with_name("clock-is-right")


def is_confirmed(now: Instant, file: Path) -> bool:
    """Return whether root or our own user has touched the file within the hour, which confirms the clock.

    Only they may write to its directory. Even so, a file of another user proves nothing.
    """
    try:
        found = file.lstat()
    except OSError:
        return False
    is_trusted = stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid())
    return is_trusted and now - HOUR_US <= found.st_mtime_ns // 1000 <= now + BEHIND_LIMIT_US


class ClockState:
    """Whether and since when the clock contradicts our own records, or is set again and again."""

    def __init__(self, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._monotonic = monotonic
        self._began_us: int | None = None
        self.confirmation: Path | None = None
        """The file with which root confirms the clock, for the status; None if there is no such file."""
        self.state: SourceState | None = None
        """The state of the clock as if it were a source that cannot be read; None while nothing is wrong with it."""
        self.is_behind = False
        """Whether the latest check found a contradiction."""
        self.first_at: Instant = 0
        """While it is behind: what it showed when that was first found."""
        self.latest_at: Instant = 0
        """While it is behind: the latest instant of our own records."""

    @property
    def problem(self) -> str:
        """The problem of the clock, for the status; empty if there is none."""
        if self.state is None:
            return ""
        if not self.is_behind:
            return f"the clock is {self.state.reason}: absence is not evaluated"
        problem = f"the clock is {self.state.reason}: absence and ends are not evaluated"
        if self.confirmation is None:
            return problem
        return f"{problem}; if it is right, and was ahead before, confirm it as root: touch {self.confirmation}"

    @property
    def lasting_us(self) -> int:
        """For how many microseconds there has been a problem, by the monotonic clock; 0 if there is none."""
        return 0 if self._began_us is None else self._monotonic() - self._began_us

    def note(self, found: Contradiction | None, now: Instant, *, is_set: bool) -> None:
        """Record a check of the clock.

        Args:
            found: The record that contradicts it; None if none does.
            now: What it shows.
            is_set: Whether it was set since the last check. Once is no problem; if it is set again and again, absence
                is never evaluated.

        """
        was_behind, self.is_behind = self.is_behind, found is not None
        if found is None and not is_set:
            self._began_us = self.state = None
            return
        is_first = self._began_us is None
        if self._began_us is None:
            self._began_us = self._monotonic()
        if found is not None:
            self.first_at = min(self.first_at, now) if was_behind else now
            self.latest_at = found.at
        elif is_first:
            return
        # By the monotonic clock, shifted so that it agrees with the wall clock now.
        unseen_since = now - (self._monotonic() - self._began_us)
        reason = "set again and again" if found is None else str(found)
        self.state = SourceState("clock", Phase.BEHIND, reason, unseen_since)


class StepWatch:
    """Notices that the wall clock and the monotonic clock diverge: it was set, or the machine was suspended."""

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
        """How much of the latest step is time in which the machine was suspended, in microseconds."""

    def look(self) -> tuple[Instant, int]:
        """Return the present, and by how many microseconds the clock has stepped since the last call; negative if back.

        Both come from one reading of the clock, so a step right after it is seen by the next call.
        """
        now, before_us = self._wall(), self._offset_us
        self._offset_us = now - self._monotonic()
        asleep_before_us, self._asleep_us = self._asleep_us, self._asleep()
        self.slept_us = self._asleep_us - asleep_before_us
        return now, self._offset_us - before_us
