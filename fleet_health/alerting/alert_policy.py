"""When an incident is notified: how often while it lasts, how long it must be over, and when it counts as flapping."""

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
    """How incidents are notified.

    Attributes:
        tick_us: The time from one evaluation to the next.
        repeat: The ages at which an incident is notified again, ascending; the last interval recurs. None for once in
            each UTC hour.
        resolve_after_us: For how long an incident must have recovered before it is resolved; None for one tick.
        flap_limit: An incident that opens more often than this within a day is flapping.
        flap_quiet_us: It flaps until it has neither opened nor resolved for this long.
        forget_after_us: For how long a lost host is remembered.
        most_remembered: How many lost hosts are remembered at most, and of how many incidents the openings.
        grace_us: Returns for how long an incident of a host and symptom must be open before it is notified.
        lookback_us: Returns after how long without any sign a host counts as lost.
        is_one_fault: Returns whether a host that is silent because it is refused has one incident, with its cause.
        is_fixed: Returns whether a host has the configured limit of silence, and not a learned one.
        absence_us: Returns how long the host of an incident must be absent to be missed; 0 if absence does not matter.

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
        """For how long an incident must have recovered before it is resolved."""
        return self.tick_us if self.resolve_after_us is None else self.resolve_after_us

    def is_within_grace(self, pair: tuple[str, str], opened_at: Instant, now: Instant) -> bool:
        """Return whether an incident has not been open for its grace yet."""
        grace_us = self.grace_us(*pair)
        return bool(grace_us) and now - opened_at < grace_us  # without a grace never, even if the clock was set back

    def is_due(self, opened_at: Instant, last_notified_at: Instant | None, now: Instant) -> bool:
        """Return whether an incident's first alert or next repeat is due, apart from the limit of one an hour."""
        if last_notified_at is None or self.repeat is None:
            return True
        return self._repeats(last_notified_at - opened_at) < self._repeats(now - opened_at)

    def _repeats(self, age_us: int) -> int:
        """Count the repeats that are due by an age."""
        assert self.repeat is not None  # noqa: S101 - only asked then
        last = self.repeat[-1]
        if age_us < last:
            return sum(interval <= age_us for interval in self.repeat)
        return len(self.repeat) - 1 + age_us // last
