"""What of the incidents outlives a restart."""

from __future__ import annotations

import msgspec

# msgspec reads the annotations at run time.
from fleet_health.alerting.ended import Ended  # noqa: TC001
from fleet_health.alerting.flapping import Flap  # noqa: TC001
from fleet_health.alerting.incident import Incident  # noqa: TC001
from fleet_health.model.instant import Instant  # noqa: TC001
from fleet_health.model.subject import Pair  # noqa: TC001


class Snapshot(msgspec.Struct):
    """What of the incidents outlives a restart.

    Attributes:
        at: The latest evaluation that is in it; None for none.
        open: The open incidents.
        unresolved: Those that are over, and whose resolution is suppressed.
        released: Which were inhibited until lately, each with the instant from which on it is notified.
        openings: When each host and symptom opened of late.
        flapping: Which of them flap.
        settled: The hosts that flap no more, as long as that is suppressed, each with since when and until when it did.
        resolved: What was resolved in the hours around the present, each with the instant of that.
        ended: What was notified, and has ended of late.
        dedup_keys: UTC hour -> the dedup keys of the alerts given in it, for the hours around the present.

    """

    at: Instant | None = None
    open: list[Incident] = []
    unresolved: list[Incident] = []
    released: list[tuple[Pair, Instant]] = []
    openings: list[tuple[Pair, list[Instant]]] = []
    flapping: list[tuple[Pair, Flap]] = []
    settled: list[tuple[str, tuple[Instant, Instant]]] = []
    resolved: list[tuple[Pair, Instant]] = []
    ended: list[Ended] = []
    dedup_keys: dict[str, list[str]] = {}
