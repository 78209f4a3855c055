"""Mute windows: hours of the week without notifications, in local time."""

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
    """A window that recurs each week.

    Attributes:
        days: The weekdays on which it begins; Monday is 0.
        begins: When it begins, in local time.
        ends: When it ends, exclusively. If that is no later than `begins`, it ends on the next day.
        zone: The time zone.
        hosts: The hosts that it mutes; None for everything, including receivers and the fleet as a whole.

    """

    days: frozenset[int]
    begins: time
    ends: time
    zone: ZoneInfo
    hosts: HostGlobs | None = None

    def is_active(self, at: Instant) -> bool:
        """Return whether an instant is within it.

        Local time decides: an hour that occurs twice is muted both times, and a skipped hour never is.
        """
        there = (_EPOCH + timedelta(microseconds=at)).astimezone(self.zone)
        clock, day = there.time(), there.weekday()
        if self.begins < self.ends:
            return day in self.days and self.begins <= clock < self.ends
        return (day in self.days and clock >= self.begins) or ((day - 1) % 7 in self.days and clock < self.ends)

    def pauses(self, since: Instant, until: Instant) -> Iterator[Pause]:
        """Return every occurrence of it that overlaps the time between two instants, in order.

        If a local time occurs twice or never, the instant that makes the window longer is used.
        """
        first, last = ((_EPOCH + timedelta(microseconds=at)).astimezone(self.zone).date() for at in (since, until))
        for number in range(-1, (last - first).days + 1):
            day = first + timedelta(days=number)
            if day.weekday() in self.days:
                pause = _pause_of(self, day)
                if pause.since <= until and since <= pause.until:
                    yield pause

    def in_words(self) -> str:
        """Return a description for people: `[[quiet]] until 06:00 Europe/Berlin`."""
        return f"[[quiet]] until {self.ends:%H:%M} {self.zone.key}"

    def is_about(self, host: str) -> bool:
        """Return whether it mutes the alerts of a host, or of `EVERY_HOST`."""
        return self.hosts is None or (is_host(host) and self.hosts.matches(host))


@lru_cache(maxsize=1024)  # each evaluation asks for the same days again
def _pause_of(window: MuteWindow, day: date) -> Pause:
    """Return the occurrence of a window that begins on a day."""
    end_day = day if window.begins < window.ends else day + timedelta(days=1)
    begin, _ = wall_readings(day, window.begins, window.zone)
    _, end = wall_readings(end_day, window.ends, window.zone)
    return Pause(begin, end, "the mute window ended")
