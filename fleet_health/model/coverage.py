"""Which stretches of time each source has shown: what an evaluation must know beside what was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.model.instant import Instant, isoformat
from fleet_health.model.subject import general, receiver_of

if TYPE_CHECKING:
    from collections.abc import Iterable

SUPPRESSED = "journald suppressed messages"
BROKEN = "journald broke a long line, and the next may be missing"
REMOVED = "entries were removed before they were read"
CLOCK_SET = "the clock was set"
"""The reasons of gaps. When the clock was set nothing was lost: but counts over that stretch prove nothing."""
SEVERAL = "entries were lost"
"""The reason of gaps that were put together, and had different ones."""
_COUNTED = frozenset({SUPPRESSED, BROKEN})


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time of which not everything was seen, nor ever will be.

    Attributes:
        since: What was seen before this instant is whole.
        until: So is what was seen after this one.
        reason: What happened, in a few words.
        messages: How many messages are known to be missing; 0 if nobody counted them.
        gaps: How many gaps were put together into this one.

    """

    since: Instant
    until: Instant
    reason: str
    messages: int = 0
    gaps: int = 1

    @property
    def cause(self) -> str:
        """The reason, with how many messages are missing if that is known."""
        if not self.messages:
            return self.reason
        if self.reason == SUPPRESSED:
            return f"journald suppressed {self.messages} messages"
        return f"{self.messages} messages may be missing"

    def row(self) -> dict[str, str | int | None]:
        """Return it as it stands in the documents for programs."""
        return {
            "since_wall": isoformat(self.since),
            "until_wall": isoformat(self.until),
            "reason": self.reason,
            "messages": self.messages or None,
        }

    def overlaps(self, since: Instant, until: Instant) -> bool:
        """Return whether something may be missing between two instants, both included."""
        return self.since <= until and since <= self.until

    def covers(self, other: Gap) -> bool:
        """Return whether another gap of the same reason adds nothing to this one."""
        return self.reason == other.reason and self.since <= other.since and other.until <= self.until

    def joined(self, other: Gap) -> Gap:
        """Return one gap in the place of both, and of what is between them."""
        return Gap(
            min(self.since, other.since),
            max(self.until, other.until),
            self.reason if self.reason == other.reason else SEVERAL,
            self.messages + other.messages,
            self.gaps + other.gaps,
        )


def latest_run(gaps: Iterable[Gap], window_us: int) -> Gap | None:
    """Return the latest gaps as one, as long as they follow each other by no more than a window; None for no gaps.

    From its begin to its end, and for a window after that, no window that ended then was seen whole. When the clock was
    set is left out.
    """
    run: Gap | None = None
    for gap in sorted((one for one in gaps if one.reason != CLOCK_SET), key=lambda one: one.since):
        run = gap if run is None or gap.since - run.until > window_us else run.joined(gap)
    return run


def recent(gaps: Iterable[Gap], since: Instant, window_us: int) -> list[Gap]:
    """Return the gaps that end at an instant or later, and as one, before them, those that lead up to the first.

    So it stays known since when the gaps have been coming, however long ago that is.
    """
    in_order = sorted(gaps, key=lambda one: one.since)
    kept = [gap for gap in in_order if gap.until >= since]
    first = next((gap for gap in kept if gap.reason != CLOCK_SET), None)
    if first is None:
        return kept
    early = [gap for gap in in_order if gap.until < since and gap.reason != CLOCK_SET]
    before = latest_run((gap for gap in early if gap.since <= first.since), window_us)
    if before is not None and first.since - before.until > window_us:
        before = None
    # What lies within the first is part of the run as well.
    for gap in early:
        if gap.since > first.since:
            before = gap if before is None else before.joined(replace(gap, since=before.since, until=before.until))
    return kept if before is None else [before, *kept]


@dataclass(frozen=True, slots=True)
class Coverage:
    """One source's.

    Attributes:
        source: `journal` or `index`, or that of a receiver, such as `journal@NAME`.
        unseen_since: Since when it cannot be read; None while it can.
        reason: Why it cannot be read; empty while it can.
        gaps: What it has not shown, and will not.
        late_us: How long before it was written the latest row is dated, in microseconds; 0 if it is dated as usual.

    """

    source: str
    unseen_since: Instant | None = None
    reason: str = ""
    gaps: tuple[Gap, ...] = ()
    late_us: int = 0

    @property
    def kind(self) -> str:
        """Which of a receiver's sources it is: `journal` or `index`."""
        return general(self.source)

    @property
    def receiver(self) -> str:
        """The name of the receiver; empty where there is only one."""
        return receiver_of(self.source)

    def is_whole(self, since: Instant, until: Instant) -> bool:
        """Return whether everything between two instants was seen, both included."""
        if self.unseen_since is not None and self.unseen_since <= until:
            return False
        return not any(gap.overlaps(since, until) for gap in self.gaps)

    def missing(self, since: Instant, until: Instant) -> int | None:
        """Return how many messages are missing between two instants at most; None if nobody knows."""
        if self.unseen_since is not None and self.unseen_since <= until:
            return None
        gaps = [gap for gap in self.gaps if gap.overlaps(since, until)]
        if any(gap.reason not in _COUNTED or not gap.messages for gap in gaps):
            return None
        return sum(gap.messages for gap in gaps)

    def unseen_us(self, since: Instant, until: Instant) -> int:
        """Return how much of the time between two instants was not seen whole, in microseconds."""
        stretches = [(gap.since, gap.until) for gap in self.gaps if gap.overlaps(since, until)]
        if self.unseen_since is not None and self.unseen_since <= until:
            stretches.append((self.unseen_since, until))
        total, seen_to = 0, since
        for begin, end in sorted(stretches):
            total += max(0, min(end, until) - max(begin, seen_to))
            seen_to = max(seen_to, end)
        return total
