"""Mute windows: hours of the week without notifications, by the clock on the wall, summer time included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from fleet_health.model.instant import wall_readings
from fleet_health.model.pauses import Pause
from fleet_health.model.subject import is_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, time
    from zoneinfo import ZoneInfo

    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.instant import Instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class MuteWindow:
    """A window of each week.

    Attributes:
        days: The days on which it begins, Monday being 0.
        begins: When it begins, by the wall clock.
        ends: When it ends, exclusively; if that is no later than it begins, on the next day.
        zone: Whose wall clock.
        hosts: Whom it is about; None for everything, also what concerns no host in particular.

    """

    days: frozenset[int]
    begins: time
    ends: time
    zone: ZoneInfo
    hosts: HostGlobs | None = None

    def is_active(self, at: Instant) -> bool:
        """Return whether an instant is in it.

        The wall clock decides: an hour that it shows twice is quiet both times, and one that it skips is neither here
        nor there.
        """
        there = (_EPOCH + timedelta(microseconds=at)).astimezone(self.zone)
        clock, day = there.time(), there.weekday()
        if self.begins < self.ends:
            return day in self.days and self.begins <= clock < self.ends
        return (day in self.days and clock >= self.begins) or ((day - 1) % 7 in self.days and clock < self.ends)

    def pauses(self, since: Instant, until: Instant) -> Iterator[Pause]:
        """Return every stretch of it that has a part of the time between two instants, in order.

        Where the clock is set by an hour in the night, the longer reading of a time that it shows twice or never holds.
        """
        first, last = ((_EPOCH + timedelta(microseconds=at)).astimezone(self.zone).date() for at in (since, until))
        for number in range(-1, (last - first).days + 1):
            day = first + timedelta(days=number)
            if day.weekday() in self.days:
                pause = _pause_of(self, day)
                if pause.since <= until and since <= pause.until:
                    yield pause

    def in_words(self) -> str:
        """Return when it ends, for a person: `[[quiet]] until 06:00 Europe/Berlin`."""
        return f"[[quiet]] until {self.ends:%H:%M} {self.zone.key}"

    def is_about(self, host: str) -> bool:
        """Return whether a host's alerts, or those of `EVERY_HOST`, are unwanted in it."""
        return self.hosts is None or (is_host(host) and self.hosts.matches(host))


@lru_cache(maxsize=1024)  # each evaluation asks for the same days again
def _pause_of(window: MuteWindow, day: date) -> Pause:
    """Return the stretch of a window that begins on a day."""
    end_day = day if window.begins < window.ends else day + timedelta(days=1)
    begin, _ = wall_readings(day, window.begins, window.zone)
    _, end = wall_readings(end_day, window.ends, window.zone)
    return Pause(begin, end, "the mute window ended")
