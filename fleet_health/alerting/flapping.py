"""Incidents that come and go: said once, then no more until they hold still."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING

import msgspec

from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import HOUR_US, Instant
from fleet_health.model.subject import Pair

if TYPE_CHECKING:
    from collections.abc import Iterable

SYMPTOM = "flapping"

_SPAN_US = 24 * HOUR_US
_SUGGESTED_FIX = (
    "Look for what comes and goes: the network, the power, a service that restarts itself. Until it holds still,"
    " nothing more is said of it."
)


class Flap(msgspec.Struct):
    """Something flaps.

    Attributes:
        changed_at: Its latest opening or end.
        is_notified: Whether it has been said. Only then is nothing more said of it.

    """

    changed_at: Instant
    is_notified: bool = False


class Flapping:
    """Counts openings.

    Attributes:
        openings: Host and symptom -> when it opened within the last day.
        flaps: Host and symptom -> how it flaps, for those that do.

    """

    def __init__(
        self, openings: dict[Pair, list[Instant]] | None = None, flaps: dict[Pair, Flap] | None = None
    ) -> None:
        self.openings = openings or {}
        self.flaps = flaps or {}
        self.notified_hosts: set[str] = set()
        """The hosts of which it was said by who was killed before that could be saved."""

    def copy(self) -> Flapping:
        """Return a copy that does not change with this one."""
        openings = {pair: list(ats) for pair, ats in self.openings.items()}
        return Flapping(openings, {pair: Flap(flap.changed_at, flap.is_notified) for pair, flap in self.flaps.items()})

    def open(self, pair: Pair, now: Instant, limit: int) -> None:
        """Record an opening; with more than so many within a day it flaps."""
        openings = [at for at in self.openings.get(pair, ()) if abs(now - at) < _SPAN_US]
        openings.append(now)
        self.openings[pair] = openings
        if len(openings) > limit:
            self.flaps.setdefault(pair, Flap(now))
        self._change(pair, now)

    def close(self, pair: Pair, now: Instant) -> None:
        """Record an end."""
        self._change(pair, now)

    def came_before(self, pair: Pair, opened_at: Instant) -> bool:
        """Return whether something had opened within a day before it did at an instant."""
        return any(at != opened_at for at in self.openings.get(pair, ()))

    def is_notified(self, pair: Pair) -> bool:
        """Return whether something flaps, and that has been said."""
        flap = self.flaps.get(pair)
        return flap is not None and flap.is_notified

    def untold(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return a finding for each host of which some of these flap and were not said to; it explains what they do.

        What was said before a kill is what flaps at the first evaluation after it.
        """
        by_host: dict[str, list[Finding]] = {}
        for finding in findings:
            flap = self.flaps.get((finding.host, finding.symptom))
            if flap is not None and not flap.is_notified:
                if finding.host in self.notified_hosts:
                    flap.is_notified = True
                else:
                    by_host.setdefault(finding.host, []).append(finding)
        self.notified_hosts.clear()
        return [
            Finding(
                host,
                SYMPTOM,
                ", and ".join(self._in_words(finding) for finding in flapping),
                _SUGGESTED_FIX,
                frozenset[Pair]().union(*(finding.explains for finding in flapping)),
            )
            for host, flapping in by_host.items()
        ]

    def tell(self, host: str, pairs: Iterable[Pair]) -> None:
        """Record that it has been said which of these of a host flap."""
        for pair in pairs:
            if pair[0] == host and pair in self.flaps:
                self.flaps[pair].is_notified = True

    def settle(self, now: Instant, quiet_us: int, limit: int) -> None:
        """Forget what is too long ago, what has held still, and beyond a limit what has opened least often.

        Names may come and go for a day without end; what has opened several times must not give way to these.
        """
        for pair in [pair for pair, flap in self.flaps.items() if abs(now - flap.changed_at) >= quiet_us]:
            del self.flaps[pair]
            self.openings.pop(pair, None)
        self.openings = {pair: ats for pair, ats in self.openings.items() if abs(now - ats[-1]) < _SPAN_US}
        if len(self.openings) > limit:
            self.openings = dict(nlargest(limit, self.openings.items(), key=lambda one: (len(one[1]), one[1][-1])))
            self.flaps = {pair: flap for pair, flap in self.flaps.items() if pair in self.openings}

    def redate(self, latest: Instant) -> None:
        """Date nothing later than an instant."""
        self.openings = {pair: [min(at, latest) for at in ats] for pair, ats in self.openings.items()}
        for flap in self.flaps.values():
            flap.changed_at = min(flap.changed_at, latest)

    def _in_words(self, finding: Finding) -> str:
        count = len(self.openings[finding.host, finding.symptom])
        return f"{finding.symptom} has come {count} times within 24 h"

    def _change(self, pair: Pair, now: Instant) -> None:
        if pair in self.flaps:
            self.flaps[pair].changed_at = now
