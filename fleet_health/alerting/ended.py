"""What has ended of late: for whoever keeps account of what they were notified of, and looks only now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fleet_health.model.instant import HOUR_US, Instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.lifecycle import State

KEPT_US = 7 * 24 * HOUR_US
"""For how long an incident that ended is remembered."""
KEPT_COUNT = 10_000
"""How many of them are remembered: those that ended last."""


class Ended(msgspec.Struct, frozen=True):
    """An incident that was notified, and has ended.

    Attributes:
        id: The incident's id.
        host: Its host, or `EVERY_HOST`.
        symptom: Its symptom.
        state: How it ended: `resolved`, or `forgotten` if that was not notified.
        opened_at: The evaluation that found it first.
        first_notified_at: Its first alert; of an incident that an earlier release has notified, its last one.
        last_notified_at: Its last alert.
        ended_at: Since when it is seen to be over; of a forgotten one, when it was forgotten.
        decided_at: The evaluation that decided so.
        detail: What it was found by last, in words; empty if that is not known.

    """

    id: str
    host: str
    symptom: str
    state: str
    opened_at: Instant
    first_notified_at: Instant
    last_notified_at: Instant
    ended_at: Instant
    decided_at: Instant
    detail: str = ""


class EndedIncidents:
    """Remembers the incidents that were notified and have ended, the one that ended first of them first."""

    def __init__(self, ended: Iterable[Ended] = ()) -> None:
        self.all = tuple(ended)

    def add(self, incidents: Iterable[tuple[Incident, State]], now: Instant) -> None:
        """Record which incidents an evaluation ends; those that nobody was notified of are left out."""
        ended = [
            Ended(
                one.id,
                one.host,
                one.symptom,
                state,
                one.opened_at,
                one.first_notified_at or one.last_notified_at,
                one.last_notified_at,
                now if one.recovered_since is None else one.recovered_since,
                now,
                one.detail,
            )
            for one, state in incidents
            if one.last_notified_at is not None
        ]
        # By a clock that was set back, what ended under the other one is not old.
        kept = [one for one in self.all if now - one.decided_at <= KEPT_US]
        if ended or len(kept) < len(self.all):
            self.all = tuple([*kept, *ended][-KEPT_COUNT:])
