"""An evaluation of the daemon, as couriers get it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.notify.documents import Incident


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation of the daemon.

    Attributes:
        at: The evaluation; None if none is known.
        is_well: Whether the daemon is neither blind nor failing.
        summary: One line: the problems of the daemon, or how many incidents stand.
        incidents: The incidents that stand.
        tick_us: The time from one evaluation to the next, in microseconds.

    """

    at: Instant | None
    is_well: bool
    summary: str
    incidents: Sequence[Incident] = ()
    tick_us: int = 0
