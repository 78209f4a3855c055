"""The part of `Incidents` that is saved in the state file."""

from __future__ import annotations

import msgspec

# msgspec reads the annotations at run time.
from fleet_health.alerting.ended import Ended  # noqa: TC001
from fleet_health.alerting.flapping import Flap  # noqa: TC001
from fleet_health.alerting.incident import Incident  # noqa: TC001
from fleet_health.model.instant import Instant  # noqa: TC001
from fleet_health.model.subject import Pair  # noqa: TC001


class Snapshot(msgspec.Struct):
    """The part of `Incidents` that is saved in the state file.

    Attributes:
        at: The latest evaluation; None if there was none.
        open: The open incidents.
        unresolved: The incidents that have recovered, but whose resolution is suppressed.
        released: Incidents whose cause has just ended, each with the instant until which it is still inhibited.
        openings: The recent openings of each host and symptom.
        flapping: The hosts and symptoms that flap.
        settled: Hosts that have stopped flapping, but whose notice is suppressed, each with the begin and end of
            flapping.
        resolved: The incidents that resolved or were left out in the hours around the present, each with its instant.
        ended: The incidents that were notified and have ended recently.
        dedup_keys: UTC hour -> the dedup keys of the alerts sent in it, for the hours around the present.

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
