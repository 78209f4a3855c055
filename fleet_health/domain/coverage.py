"""Which sources cannot be seen, and since when: what an evaluation must know beside what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_health.domain.instant import Instant


@dataclass(frozen=True, slots=True)
class Coverage:
    """One source's.

    Attributes:
        source: `journal` or `index`.
        unseen_since: Since when it cannot be read; None while it can.
        reason: Why it cannot be read; empty while it can.

    """

    source: str
    unseen_since: Instant | None = None
    reason: str = ""
