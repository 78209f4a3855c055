"""How well a source sees at present, in words and figures for the log, the status line and the watchdog."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from fleet_health.domain.coverage import Coverage
from fleet_health.domain.instant import describe
from fleet_health.parsing.rejection import RejectionCount

if TYPE_CHECKING:
    from fleet_health.domain.instant import Instant


class Phase(StrEnum):
    """What a source is doing."""

    CATCHING_UP = "catching up"
    """It reads what is there already."""
    FOLLOWING = "following"
    """It has seen everything, and waits for more."""
    WAITING = "waiting"
    """There is nothing to read; it looks again and again."""
    REFUSED = "refused"
    """It may not read what is there, or that is not what it should be; it looks again and again."""
    FAILING = "failing"
    """Reading fails; it tries again, less and less often."""


@dataclass(slots=True)
class SourceState:
    """The state of one source.

    Attributes:
        name: `journal` or `index`.
        phase: What it is doing.
        reason: Why it cannot be read; empty if it can.
        unseen_since: Since when it cannot be read; None while it can.
        seen_until: Everything up to this instant has been seen; None if that was never so.
        read: How many entries or rows were read.
        rejections: What could not be read, by reason.

    """

    name: str
    phase: Phase = Phase.CATCHING_UP
    reason: str = ""
    unseen_since: Instant | None = None
    seen_until: Instant | None = None
    read: int = 0
    rejections: RejectionCount = field(default_factory=RejectionCount)

    def coverage(self) -> Coverage:
        """Say what an evaluation must know."""
        return Coverage(self.name, self.unseen_since, self.reason)

    def summary(self, now: Instant) -> str:
        """Say it in a few words: `journal following, 0 s behind`."""
        words = f"{self.name} {self.phase}"
        if self.phase is Phase.FOLLOWING and self.seen_until is not None:
            words += f", {describe(max(0, now - self.seen_until))} behind"
        elif self.phase is Phase.CATCHING_UP:
            words += f", {self.read} read"
        elif self.reason:
            words += f" ({self.reason})"
        if self.rejections.total:
            words += f", {self.rejections.total} rejected"
        return words
