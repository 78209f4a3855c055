"""The incidents that ended recently, for clients such as `notify` that compare lists of incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fleet_health.model.instant import HOUR_US, Instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.lifecycle import State

KEPT_US = 7 * 24 * HOUR_US
"""How long an ended incident is kept."""
KEPT_COUNT = 10_000
"""The largest number of ended incidents that are kept; the latest ones."""


class Ended(msgspec.Struct, frozen=True):
    """An incident that was notified and has ended.

    Attributes:
        id: The incident's id.
        host: Its host, or `EVERY_HOST`.
        symptom: Its symptom.
        state: `resolved`, or `forgotten` if it was dropped without a notification.
        opened_at: The evaluation that found it first.
        first_notified_at: Its first alert; its last one if the first is not known.
        last_notified_at: Its last alert.
        ended_at: When it recovered or was forgotten.
        decided_at: The evaluation that ended it.
        detail: Its latest finding in words; empty if that is not known.
        loss_notified_at: When the loss of its host was notified; None if it was not lost at its end.

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
    loss_notified_at: Instant | None = None


class EndedIncidents:
    """Keeps the incidents that were notified and have ended, in the order in which they ended."""

    def __init__(self, ended: Iterable[Ended] = ()) -> None:
        self.all = tuple(ended)

    def add(self, incidents: Iterable[tuple[Incident, State]], now: Instant) -> None:
        """Record the incidents that end at an evaluation, except those that were never notified."""
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
                one.loss_notified_at,
            )
            for one, state in incidents
            if one.last_notified_at is not None
        ]
        # If the clock was set back, incidents may be dated in the future; they are kept.
        kept = [one for one in self.all if now - one.decided_at <= KEPT_US]
        if ended or len(kept) < len(self.all):
            self.all = tuple([*kept, *ended][-KEPT_COUNT:])
