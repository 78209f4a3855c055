"""Incidents that come and go: said once, then no more until they hold still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.domain.detectors.contract import Finding
from fleet_health.domain.instant import HOUR_US

if TYPE_CHECKING:
    from fleet_health.domain.instant import Instant

SYMPTOM = "flapping"

_SPAN_US = 24 * HOUR_US
_SUGGESTED_FIX = (
    "Look for what comes and goes: the network, the power, a service that restarts itself. Until it holds still,"
    " nothing more is said of it."
)


class Flapping:
    """Counts openings.

    Attributes:
        openings: Host and symptom -> when it opened within the last day.
        since: Host and symptom -> its latest opening or end, for those that flap.

    """

    def __init__(
        self,
        openings: dict[tuple[str, str], list[Instant]] | None = None,
        since: dict[tuple[str, str], Instant] | None = None,
    ) -> None:
        self.openings = openings or {}
        self.since = since or {}

    def open(self, pair: tuple[str, str], now: Instant, limit: int) -> Finding | None:
        """Take note of an opening; give a finding if it is the one that makes it flap."""
        openings = [at for at in self.openings.get(pair, ()) if abs(now - at) < _SPAN_US]
        openings.append(now)
        self.openings[pair] = openings
        if pair in self.since:
            self.since[pair] = now
        elif len(openings) > limit:
            self.since[pair] = now
            host, symptom = pair
            return Finding(
                host, SYMPTOM, f"{symptom} has come for the {len(openings)}th time within 24 h", _SUGGESTED_FIX
            )
        return None

    def close(self, pair: tuple[str, str], now: Instant) -> bool:
        """Take note of an end; say whether it flaps."""
        if pair not in self.since:
            return False
        self.since[pair] = now
        return True

    def settle(self, now: Instant, quiet_us: int) -> None:
        """Forget what is too long ago, and what has held still."""
        still = [pair for pair, at in self.since.items() if abs(now - at) >= quiet_us]
        for pair in still:
            del self.since[pair]
            self.openings.pop(pair, None)
        self.openings = {pair: ats for pair, ats in self.openings.items() if abs(now - ats[-1]) < _SPAN_US}
