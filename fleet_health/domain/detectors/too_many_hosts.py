"""`too-many-hosts`: more names turn up than are watched. Somebody invents them, or the limit is too small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.domain.detectors.contract import EVERY_HOST, PRESENT, Figure, Finding, Reach
from fleet_health.domain.instant import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from fleet_health.domain.fleet import Fleet, LeftOut
    from fleet_health.domain.instant import Instant

SYMPTOM = "too-many-hosts"

_SUGGESTED_FIX = (
    "Look in the receiver's journal for who uploads under ever new names;"
    " if all of them are yours, raise `limit` under [hosts] in the configuration."
)


class TooManyHosts:
    """Finds out whether hosts were left out within the last hour."""

    symptom = SYMPTOM
    is_of_absence = False
    reach = Reach()

    def can_judge(self, seen: Container[str]) -> bool:
        """Judge always, by what was left out so far."""
        del seen
        return True

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Find at most one, for all names together."""
        if crowds := _crowds(fleet, now):
            count = sum(crowd.count for crowd in crowds)
            latest = max(crowds, key=lambda crowd: crowd.latest_at)
            yield Finding(
                host=EVERY_HOST,
                symptom=SYMPTOM,
                detail=(
                    f"{count} observations of hosts beyond the limit of {fleet.ships.limit} were left out so far,"
                    f" the latest of {latest.host}; the hosts known before are watched as ever"
                ),
                suggested_fix=_SUGGESTED_FIX,
            )

    def figures(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Figure]:
        """Give how many were left out, if it was of late."""
        if host != EVERY_HOST:
            return ()
        count = sum(crowd.count for crowd in _crowds(fleet, now))
        return (Figure("left out, and within an hour", str(count), "any", "hosts.limit", count > 0),)

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Say yes: that nobody was left out of late is seen."""
        del fleet, host, now
        return True

    def sign_at(self, fleet: Fleet, host: str) -> Instant:
        """Return the present: an hour without anybody left out is what we observe ourselves."""
        del fleet, host
        return PRESENT

    def limits_of(self, host: str) -> str:
        """Return nothing: an hour is no setting."""
        del host
        return ""


def _crowds(fleet: Fleet, now: Instant) -> list[LeftOut]:
    return [table.left_out for table in (fleet.ships, fleet.traffic) if table.left_out.latest_at >= now - HOUR_US]
