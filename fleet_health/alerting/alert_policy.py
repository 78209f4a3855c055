"""The alert policy: grace, repeats, the delay of resolutions, flapping, and how long lost hosts are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.model.instant import HOUR_US
from fleet_health.model.places import HOST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.instant import Instant

_MINUTE_US = 60_000_000
_DAY_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """The settings and limits that decide when incidents are notified, resolved and forgotten.

    Attributes:
        tick_us: The interval between evaluations.
        repeat: The ages at which an incident is notified again, ascending; the last one is also the interval from then
            on. None for once in each UTC hour.
        resolve_after_us: How long an incident must have recovered before it resolves; None for one tick.
        flap_limit: An incident that opens more often than this within a day is flapping.
        flap_quiet_us: It stops flapping when it has neither opened nor resolved for this long.
        forget_after_us: How long the incident of a lost host is kept.
        most_remembered: The largest number of lost incidents, and of incidents whose openings are counted.
        grace_us: Returns how long an incident of a host and symptom must be open before it is notified.
        lookback_us: Returns how long a host must have shown no sign to count as lost.
        is_one_fault: Returns whether the symptoms of one fault of a host, such as refusals and the silence that
            follows, are notified as one incident.
        is_fixed: Returns whether the limit of silence of a host is configured rather than learned.
        absence_us: Returns how long a host must be absent before a symptom is found; 0 if the symptom is not about
            absence.

    """

    tick_us: int = 5 * _MINUTE_US
    repeat: tuple[int, ...] | None = None
    resolve_after_us: int | None = None
    flap_limit: int = 5
    flap_quiet_us: int = HOUR_US
    forget_after_us: int = 30 * _DAY_US
    most_remembered: int = HOST_LIMIT
    grace_us: Callable[[str, str], int] = field(default=lambda *_: 0, compare=False)
    lookback_us: Callable[[str], int] = field(default=lambda _: _DAY_US, compare=False)
    is_one_fault: Callable[[str], bool] = field(default=lambda _: False, compare=False)
    is_fixed: Callable[[str], bool] = field(default=lambda _: True, compare=False)
    absence_us: Callable[[str, str], int] = field(default=lambda *_: 0, compare=False)

    @property
    def proof_us(self) -> int:
        """How long an incident must have recovered before it resolves."""
        return self.tick_us if self.resolve_after_us is None else self.resolve_after_us

    def is_within_grace(self, pair: tuple[str, str], opened_at: Instant, now: Instant) -> bool:
        """Return whether the grace of an incident has not passed yet."""
        grace_us = self.grace_us(*pair)
        return bool(grace_us) and now - opened_at < grace_us  # an age is negative if the clock was set back

    def is_due(self, opened_at: Instant, last_notified_at: Instant | None, now: Instant) -> bool:
        """Return whether the first alert or the next repeat is due, ignoring the limit of one an hour."""
        if last_notified_at is None or self.repeat is None:
            return True
        return self._repeats(last_notified_at - opened_at) < self._repeats(now - opened_at)

    def _repeats(self, age_us: int) -> int:
        """Return the number of repeats that are due by an age."""
        assert self.repeat is not None  # noqa: S101 - only asked then
        last = self.repeat[-1]
        if age_us < last:
            return sum(interval <= age_us for interval in self.repeat)
        return len(self.repeat) - 1 + age_us // last
