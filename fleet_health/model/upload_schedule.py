"""When a host is expected to upload, as an operator writes it: `daily 02:00 +- 1h`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from fleet_health.model.instant import HOUR_US, wall_readings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo

    from fleet_health.model.instant import Instant
    from fleet_health.model.pauses import Pause

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 24 * HOUR_US
_EVERY_DAY = 7


@dataclass(frozen=True, slots=True)
class UploadSchedule:
    """The times at which uploads are expected, each within a tolerance.

    Attributes:
        text: As it is written in the configuration.
        days: The days on which one is, Monday being 0.
        at: When, by the wall clock; None for every hour.
        minute: At which minute of every hour, if it is every hour.
        tolerance_us: How much earlier or later it may come, in microseconds.
        zone: Whose wall clock.

    """

    text: str
    days: frozenset[int]
    at: time | None
    minute: int
    tolerance_us: int
    zone: ZoneInfo

    @property
    def longest_us(self) -> int:
        """The longest time from an upload to the end of the next one's time, also when the clock is put back."""
        longest = HOUR_US if self.at is None else _DAY_US if len(self.days) == _EVERY_DAY else 7 * _DAY_US
        return longest + HOUR_US + 2 * self.tolerance_us

    def due_by(self, last_at: Instant, pauses: Sequence[Pause] = ()) -> Instant:
        """Return by when a host must have uploaded that did so last at an instant.

        That is the end of the first time that begins after the instant: an upload within a time was the one expected.
        If that end lies in a pause, the host may have had no way to upload: then it is the end of the first time that
        ends after the pause. This one counts in any case, or a pause that comes every day would hide a dead host for
        ever.

        Args:
            last_at: The last upload.
            pauses: The pauses, as `merged` returns them.

        """
        due_at = next(end for begin, end in self._times(last_at) if begin > last_at)
        resumed_at = next((one.until for one in pauses if one.since < due_at <= one.until), None)
        return due_at if resumed_at is None else next(end for _, end in self._times(resumed_at) if end > resumed_at)

    def _times(self, since: Instant) -> Iterator[tuple[Instant, Instant]]:
        """Return from when to when an upload may come, for each time from about an instant on, in order."""
        for earlier, later in self._readings(since):
            yield earlier - self.tolerance_us, later + self.tolerance_us

    def _readings(self, since: Instant) -> Iterator[tuple[Instant, Instant]]:
        """Return the times from about an instant on, in order, each by both readings of the wall clock.

        They differ where the clock shows a time twice, or never: a host may go by either, or upload in between.
        """
        if self.at is None:
            offset_us = self.minute * HOUR_US // 60
            at = since - since % HOUR_US + offset_us - HOUR_US
            while True:
                yield at, at
                at += HOUR_US
        day = (_EPOCH + timedelta(microseconds=since)).astimezone(self.zone).date() - timedelta(days=1)
        while True:
            if day.weekday() in self.days:
                yield wall_readings(day, self.at, self.zone)
            day += timedelta(days=1)
