"""What stands: the open incidents, and those that are over and whose resolution is suppressed."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from fleet_health.alerting.symptoms import GROUPS
from fleet_health.model.subject import EVERY_HOST, is_host

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from fleet_health.alerting.incident import Incident
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


class Standing:
    """Remembers what stands.

    Attributes:
        open: The open incidents.
        unresolved: What is over, and whose resolution is suppressed.

    """

    def __init__(self, incidents: Iterable[Incident] = (), unresolved: Iterable[Incident] = ()) -> None:
        self.open: dict[Pair, Incident] = {incident.pair: incident for incident in incidents}
        self.unresolved: dict[Pair, Incident] = {incident.pair: incident for incident in unresolved}

    def copy(self) -> Standing:
        """Return a copy whose open incidents do not change with these."""
        return Standing(map(copy, self.open.values()), self.unresolved.values())

    @property
    def all(self) -> Mapping[Pair, Incident]:
        """The open incidents and the unresolved ones."""
        return {**self.unresolved, **self.open}

    def redate(self, latest: Instant) -> None:
        """Date nothing later than an instant."""
        for incident in (*self.open.values(), *self.unresolved.values()):
            incident.redate(latest)

    @property
    def grouped(self) -> frozenset[Pair]:
        """What is alerted as one of many: hosts that never uploaded, or that turned up while the table was full."""
        groups = (self.open.get((EVERY_HOST, symptom)) for symptom in GROUPS)
        return frozenset[tuple[str, str]]().union(*(group.inhibits for group in groups if group is not None))

    @property
    def anchored(self) -> tuple[str, ...]:
        """The hosts that must not lose their place: those with an open incident that was notified, the oldest first.

        So must those that are missed or lost. What is inhibited does not count, or a stranger could have as many places
        as names are refused often enough.
        """
        grouped = self.grouped
        anchored = [
            one
            for pair, one in self.open.items()
            if is_host(one.host)
            and ((one.is_missed and pair not in grouped) or (one.is_noticed and one.lost_at is None))
        ]
        return tuple(dict.fromkeys(one.host for one in sorted(anchored, key=lambda one: one.opened_at)))

    @property
    def once_uploaded(self) -> frozenset[str]:
        """The hosts that have uploaded, though it may soon be forgotten when: those that are missed or lost."""
        return frozenset(one.host for one in self.open.values() if one.is_missed)

    def causes(self, inhibited: frozenset[Pair]) -> Mapping[Pair, Sequence[Pair]]:
        """Return which open incidents are the cause of each of those that are inhibited."""
        causes: dict[Pair, list[Pair]] = {}
        for cause, incident in self.open.items():
            for pair in incident.inhibits & inhibited if incident.inhibits else ():
                causes.setdefault(pair, []).append(cause)
        return causes

    def unnotified(self, found: Container[Pair]) -> set[Pair]:
        """Return what stands though it is not found, and nobody was notified of."""
        return {pair for pair, one in self.open.items() if pair not in found and _stands_unnotified(one)}


def _stands_unnotified(incident: Incident) -> bool:
    is_unnotified = incident.was_suppressed or (incident.lost_at is not None and incident.last_notified_at is None)
    return incident.recovered_since is None and is_unnotified
