"""Which stretches of time each source has shown: what an evaluation must know beside what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_health.domain.instant import Instant, isoformat


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time of which not everything was seen, nor ever will be.

    Attributes:
        since: What was seen before this instant is whole.
        until: So is what was seen after this one.
        reason: What happened, in a few words.

    """

    since: Instant
    until: Instant
    reason: str

    def row(self) -> dict[str, str]:
        """Give it as it stands in the documents for programs."""
        return {"since_wall": isoformat(self.since), "until_wall": isoformat(self.until), "reason": self.reason}

    def overlaps(self, since: Instant, until: Instant) -> bool:
        """Say whether something may be missing between two instants, both included."""
        return self.since <= until and since <= self.until


@dataclass(frozen=True, slots=True)
class Coverage:
    """One source's.

    Attributes:
        source: `journal` or `index`.
        unseen_since: Since when it cannot be read; None while it can.
        reason: Why it cannot be read; empty while it can.
        gaps: What it has not shown, and will not.

    """

    source: str
    unseen_since: Instant | None = None
    reason: str = ""
    gaps: tuple[Gap, ...] = ()

    def is_whole(self, since: Instant, until: Instant) -> bool:
        """Say whether everything between two instants was seen, both included."""
        if self.unseen_since is not None and self.unseen_since <= until:
            return False
        return not any(gap.overlaps(since, until) for gap in self.gaps)
