"""`blind`: we ourselves cannot see. Nothing is wrong with a host, and nothing would be found if it were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.domain.detectors.contract import EVERY_HOST, PRESENT, Figure, Finding, Reach
from fleet_health.domain.instant import describe

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from fleet_health.domain.fleet import Fleet
    from fleet_health.domain.instant import Instant

SYMPTOM = "blind"
CLOCK = "clock"
"""The source that is away while the clock contradicts our own records."""

_SUGGESTED_FIX = (
    "On the machine where fleet-health runs: mend what `systemctl status fleet-health` says of its sources;"
    " it goes on by itself."
)
_SUGGESTED_FIX_CLOCK = (
    "On the machine where fleet-health runs: set the clock (`timedatectl status`); it goes on by itself. If the clock"
    " is right and was ahead before: stop fleet-health, move `state.json` out of its state directory, and start it."
)


class Blind:
    """Finds out whether a source could not be read for too long."""

    symptom = SYMPTOM
    is_of_absence = False
    reach = Reach()

    def __init__(self, after_us: int) -> None:
        """Take the microseconds for which a source may be away; a finding is what lasts longer, strictly."""
        self._after_us = after_us

    def can_judge(self, seen: Container[str]) -> bool:
        """Judge always: this is about what cannot be seen."""
        del seen
        return True

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Find at most one, for all sources together."""
        unseen = {
            coverage.source: f"the {coverage.source} for {describe(now - coverage.unseen_since)} ({coverage.reason})"
            for coverage in fleet.coverage
            if coverage.unseen_since is not None and now - coverage.unseen_since > self._after_us
        }
        clock = unseen.pop(CLOCK, "")
        details = ["cannot read " + ", nor ".join(unseen.values())] if unseen else []
        details += [f"cannot judge by {clock}"] if clock else []
        if details:
            yield Finding(
                host=EVERY_HOST,
                symptom=SYMPTOM,
                detail="; ".join(details),
                suggested_fix=" ".join([_SUGGESTED_FIX] * bool(unseen) + [_SUGGESTED_FIX_CLOCK] * bool(clock)),
            )

    def figures(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Figure]:
        """Give for how long the source that is away the longest could not be read."""
        if host != EVERY_HOST:
            return ()
        away_us = max((now - one.unseen_since for one in fleet.coverage if one.unseen_since is not None), default=None)
        return (
            Figure(
                "a source not readable",
                "all are" if away_us is None else f"for {describe(max(0, away_us))}",
                f"for longer than {describe(self._after_us)}",
                "blind_after",
                away_us is not None and away_us > self._after_us,
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Say whether every source can be read."""
        del host, now
        return all(coverage.unseen_since is None for coverage in fleet.coverage)

    def sign_at(self, fleet: Fleet, host: str) -> Instant:
        """Return the present: that every source can be read is what we observe ourselves."""
        del fleet, host
        return PRESENT

    def limits_of(self, host: str) -> str:
        """Return the limit."""
        del host
        return f"{self._after_us}"
