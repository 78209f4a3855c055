"""`silent`: a host that used to deliver has stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.domain.detectors.contract import Finding, Reach
from fleet_health.domain.instant import describe, isoformat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.domain.fleet import Fleet
    from fleet_health.domain.instant import Instant
    from fleet_health.domain.limits import HostLimits
    from fleet_health.domain.suggested_fix import SuggestedFix

SYMPTOM = "silent"


@dataclass(frozen=True, slots=True)
class SilentLimits:
    """When a host counts as silent.

    Attributes:
        after_us: It is silent when its last ship is longer ago than this, strictly.
        lookback_us: It is watched at all if it shipped within this time, the boundary included.
        suggested_fix: What to do.

    """

    after_us: int
    lookback_us: int
    suggested_fix: SuggestedFix


class Silent:
    """Finds active hosts whose last ship is longer ago than allowed."""

    symptom = SYMPTOM

    def __init__(self, limits: HostLimits[SilentLimits]) -> None:
        self._limits = limits

    @property
    def reach(self) -> Reach:
        """Look back as far as the longest lookback."""
        return Reach(ships_us=max(limits.lookback_us for limits in self._limits.each_alone()))

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Find each host with `now - lookback <= last ship < now - after`."""
        for host, last_at in fleet.ships.items():
            limits = self._limits.of(host)
            quiet_us = now - last_at
            if limits.after_us < quiet_us <= limits.lookback_us:
                yield Finding(
                    host=host,
                    symptom=SYMPTOM,
                    detail=(
                        f"no accepted upload since {isoformat(last_at)}, {describe(quiet_us)} ago"
                        f" (the limit is {describe(limits.after_us)})"
                    ),
                    suggested_fix=limits.suggested_fix.render(host),
                )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Say whether the host has shipped lately."""
        last_at = fleet.ships.last_at(host)
        return last_at is not None and now - last_at <= self._limits.of(host).after_us
