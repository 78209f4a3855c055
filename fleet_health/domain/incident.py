"""An incident, and what of all of them outlives a restart."""

from __future__ import annotations

import msgspec

# msgspec reads the annotations at run time.
from fleet_health.domain.detectors.contract import Pair  # noqa: TC001
from fleet_health.domain.flapping import Flap  # noqa: TC001
from fleet_health.domain.instant import Instant  # noqa: TC001


class Incident(msgspec.Struct):
    """One incident.

    Attributes:
        host: The host, or `EVERY_HOST`.
        symptom: The symptom.
        opened_at: The evaluation that found it first.
        told_at: The latest alert of it; None if there was none, because it is held back or silenced.
        well_since: Since when it is seen to be over; None while it is not.
        lost_at: Since when its host is lost; None if it is not.
        is_muted: Whether a silence has kept an alert of it back.
        explains: The incidents that it is the cause of.

    """

    host: str
    symptom: str
    opened_at: Instant
    told_at: Instant | None = None
    well_since: Instant | None = None
    lost_at: Instant | None = None
    is_muted: bool = False
    explains: frozenset[Pair] = frozenset()


class Snapshot(msgspec.Struct):
    """What of the incidents outlives a restart.

    Attributes:
        at: The latest evaluation that is in it; None for none.
        open: The open incidents.
        released: Which were held back until lately, each with the instant from which on it is told of.
        openings: When each host and symptom opened of late.
        flapping: Which of them flap.

    """

    at: Instant | None = None
    open: list[Incident] = []
    released: list[tuple[Pair, Instant]] = []
    openings: list[tuple[Pair, list[Instant]]] = []
    flapping: list[tuple[Pair, Flap]] = []
