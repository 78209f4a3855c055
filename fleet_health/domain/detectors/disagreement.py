"""What the journal and the index say of the same upload, compared: it must be in both.

The receiver answers first or writes its row first, and we read one file before the other; so there is slack, for rows
in flight. What is known to be missing from either explains a disagreement, and is said elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.domain.window import SUCCESS

if TYPE_CHECKING:
    from fleet_health.domain.fleet import Fleet
    from fleet_health.domain.instant import Instant
    from fleet_health.domain.suggested_fix import SuggestedFix

_HOSTS_NAMED = 10


@dataclass(frozen=True, slots=True)
class DisagreementLimits:
    """When the two disagree.

    Attributes:
        window_us: The stretch of time that is compared, up to the evaluation, both ends included.
        slack_us: How long after the one the other may come; less than half the window.
        min_hosts: From this many hosts on it is a finding.
        min_count: So many accepted uploads of a host must lack a row.
        suggested_fix: What to do.

    """

    window_us: int
    slack_us: int
    min_hosts: int
    suggested_fix: SuggestedFix
    min_count: int = 1


def is_comparable(fleet: Fleet, since: Instant, until: Instant) -> bool:
    """Say whether both the journal and the index were seen whole between two instants, both included."""
    return fleet.is_whole("index", since, until) and fleet.is_whole("journal", since, until)


def has_agreement(fleet: Fleet, since: Instant, until: Instant) -> bool:
    """Say whether some host has both an accepted upload and a row between two instants, both included."""
    for host, window in fleet.traffic.items():
        last_at = fleet.ships.last_at(host)
        if last_at is not None and since <= last_at <= until and window.has_class(SUCCESS, since, until):
            return True
    return False


def name_hosts(hosts: list[str]) -> str:
    """Name hosts in their order, the first ten of them."""
    named = ", ".join(sorted(hosts)[:_HOSTS_NAMED])
    return f"{named} and {len(hosts) - _HOSTS_NAMED} more" if len(hosts) > _HOSTS_NAMED else named
