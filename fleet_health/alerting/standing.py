"""The standing incidents: the open ones, and the recovered ones whose resolution is suppressed."""

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
    """Holds the standing incidents.

    Attributes:
        open: The open incidents.
        unresolved: The incidents that have recovered, but whose resolution is suppressed.

    """

    def __init__(self, incidents: Iterable[Incident] = (), unresolved: Iterable[Incident] = ()) -> None:
        self.open: dict[Pair, Incident] = {incident.pair: incident for incident in incidents}
        self.unresolved: dict[Pair, Incident] = {incident.pair: incident for incident in unresolved}

    def copy(self) -> Standing:
        """Return a copy with its own open incidents."""
        return Standing(map(copy, self.open.values()), self.unresolved.values())

    @property
    def all(self) -> Mapping[Pair, Incident]:
        """The open incidents and the unresolved ones."""
        return {**self.unresolved, **self.open}

    def redate(self, latest: Instant) -> None:
        """Move every instant that is later than `latest` to `latest`, after the clock was ahead.

        An incident that opened by this clock and was never notified is dropped. If it is real, it will be found again.
        """
        self.open = {
            pair: one for pair, one in self.open.items() if one.last_notified_at is not None or one.opened_at <= latest
        }
        for incident in (*self.open.values(), *self.unresolved.values()):
            incident.redate(latest)

    @property
    def grouped(self) -> frozenset[Pair]:
        """The incidents alerted as a group: of hosts that never uploaded, or appeared while the table was full."""
        groups = (self.open.get((EVERY_HOST, symptom)) for symptom in GROUPS)
        return frozenset[tuple[str, str]]().union(*(group.inhibits for group in groups if group is not None))

    @property
    def anchored(self) -> tuple[str, ...]:
        """The hosts that must keep their place in the fleet, oldest incident first.

        These are hosts with a notified incident that is not lost, and hosts whose uploads are missing. Incidents of a
        group do not count, because otherwise refused uploads under invented names would take every place.
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
        """The hosts whose uploads are missing: they have uploaded, even if their uploads are forgotten."""
        return frozenset(one.host for one in self.open.values() if one.is_missed)

    def causes(self, inhibited: frozenset[Pair]) -> Mapping[Pair, Sequence[Pair]]:
        """Return inhibited incident -> the open incidents that are its cause."""
        causes: dict[Pair, list[Pair]] = {}
        for cause, incident in self.open.items():
            for pair in incident.inhibits & inhibited if incident.inhibits else ():
                causes.setdefault(pair, []).append(cause)
        return causes

    def unnotified(self, found: Container[Pair]) -> set[Pair]:
        """Return the open incidents that are not found and were never notified."""
        return {pair for pair, one in self.open.items() if pair not in found and _stands_unnotified(one)}


def _stands_unnotified(incident: Incident) -> bool:
    is_unnotified = incident.was_suppressed or (incident.lost_at is not None and incident.last_notified_at is None)
    return incident.recovered_since is None and is_unnotified
