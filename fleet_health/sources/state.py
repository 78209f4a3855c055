"""The present state of a source, for the log, the status line and the watchdog."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import reduce
from typing import TYPE_CHECKING

from fleet_health.model.coverage import Coverage, Gap, Share, recent
from fleet_health.model.instant import describe, isoformat
from fleet_health.model.words import plural
from fleet_health.parsing.rejection import RejectionCount

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.model.instant import Instant

# Reasons are texts of fleet-health, so a few of them stay short whatever a client sends.
_REASONS_NAMED = 3
_GAPS = 100


class Phase(StrEnum):
    """The phase of a source."""

    CATCHING_UP = "catching up"
    """The backlog is being read."""
    FOLLOWING = "following"
    """The input was read to its end, and new entries are awaited."""
    WAITING = "waiting"
    """The input does not exist. Opening it is retried."""
    REFUSED = "refused"
    """The input may not be read, or is of the wrong kind. Opening it is retried."""
    FAILING = "failing"
    """Reading fails, and is retried with a backoff."""
    BEHIND = "behind"
    """The phase of the clock when it contradicts our own records."""


@dataclass(slots=True)
class SourceState:
    """The state of one source.

    Attributes:
        name: `journal` or `index`.
        phase: Its phase.
        reason: The reason why it cannot be read; empty if it can.
        unseen_since: When it ceased to be readable; None while it is readable.
        seen_until: The instant up to which everything was read; None if it was never read to its end.
        read: The number of entries or rows that were read.
        rejections: The entries or rows that were rejected, by reason.
        gaps: The spans that were never seen, in order. The oldest are joined if there are many. One gap before the
            recent ones stands for all gaps that lead up to them.
        begins_at: The time of the oldest entry; None if the source reaches back far enough.
        share: The share of the input that was understood.
        void_since: The instant since which it is known to have no entry of the receiver; None if it has any.
        unheard: One sentence for each configured unit or match that has no entry in the journal.
        unmatched: A sentence if no line was recognised as a response although there were uploads; else empty.
        read_since: The instant from which it was read; None if it was not read yet, or if this does not matter.
        window_us: The lookback of an evaluation, in microseconds; 0 if unknown.
        late_us: How long before its write the latest row is dated, in microseconds; 0 if that is usual.
        unread: Path of a rotated file that could not be read to its end -> the reason.
        newest_at: The date of the latest entry or row that shows the time on the clock; None if there is none.

    """

    name: str
    phase: Phase = Phase.CATCHING_UP
    reason: str = ""
    unseen_since: Instant | None = None
    seen_until: Instant | None = None
    read: int = 0
    rejections: RejectionCount = field(default_factory=RejectionCount)
    gaps: list[Gap] = field(default_factory=list)
    newest_at: Instant | None = None
    begins_at: Instant | None = None
    share: Share = field(default_factory=Share)
    void_since: Instant | None = None
    unheard: tuple[str, ...] = ()
    unmatched: str = ""
    read_since: Instant | None = None
    window_us: int = 0
    late_us: int = 0
    unread: dict[str, str] = field(default_factory=dict)

    def is_seen(self, now: Instant) -> bool:
        """Return whether all entries up to an instant were read; False while a read takes too long."""
        return self.phase is Phase.FOLLOWING and self.seen_until is not None and self.seen_until >= now

    @property
    def is_seeing(self) -> bool:
        """Whether the source can be read, is understood, and seems to be that of the receiver."""
        return self.unseen_since is None and self.share.is_understood and not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each sign that a readable source is not that of the receiver, or is incomplete."""
        return (*self.unheard, *([self.unmatched] if self.unmatched else []))

    def note(self, share: Share) -> None:
        """Add the share of the latest input that was understood."""
        self.share = self.share.followed_by(share)

    def coverage(self, now: Instant) -> Coverage:
        """Return the coverage of the source for an evaluation at `now`."""
        known = self.known_coverage()
        if self.unseen_since is None and self.seen_until is not None and self.seen_until < now:
            return replace(known, unseen_since=self.seen_until, reason="reading it takes too long")
        return known

    def known_coverage(self) -> Coverage:
        """Return the coverage between two evaluations, when the source may not have been read to the present."""
        return Coverage(
            self.name,
            self.unseen_since,
            self.reason,
            tuple(self.gaps),
            begins_at=self.begins_at,
            share=self.share,
            void_since=self.void_since,
            read_since=self.read_since,
            doubt=self.unmatched or (self.unheard[0] if self.unheard and self.void_since is not None else ""),
            quiet_since=self.read_since if self.newest_at is None else self.newest_at,
            late_us=self.late_us,
        )

    def lack(self, gap: Gap, since: Instant) -> None:
        """Record a gap, unless it is known. Forget gaps that end before `since` and lead up to no later one."""
        if any(known.covers(gap) for known in self.gaps):
            return
        self.gaps = recent([*self.gaps, gap], since, self.window_us)
        if len(self.gaps) > _GAPS:
            self._put_together(since)

    def _put_together(self, since: Instant) -> None:
        """Join the two oldest recent gaps. The part before `since` becomes a gap that leads up to it."""
        number = next(number for number, gap in enumerate(self.gaps) if gap.until >= since)
        before, (first, second, *others) = self.gaps[:number], self.gaps[number:]
        both = first.joined(second)
        if both.since < since:
            if self.window_us:
                before.append(replace(both, until=since - 1, messages=0, gaps=0))
            both = replace(both, since=since)
        self.gaps = [*before, both, *others]

    def summary(self, now: Instant) -> str:
        """Return the state in a few words: `index following, 0 s behind, 1 rejected (1 not JSON)`."""
        words = f"{self.name} {self.phase}"
        if self.phase is Phase.FOLLOWING and self.seen_until is not None:
            words += f", {describe(max(0, now - self.seen_until))} behind"
        elif self.phase is Phase.CATCHING_UP:
            words += f", {self.read} read"
        elif self.reason:
            words += f" ({self.reason})"
        if self.problems:
            words += (
                ", nothing of the receiver in it"
                if self.void_since is not None or self.unmatched
                else ", not all of it"
            )
        words += self._gaps_in_words(now)
        if not self.share.is_understood or self.share.understood * 2 < self.share.came_in:
            words += f", {self.share.understood} of {self.share.came_in} understood"
        if self.late_us:
            words += f", rows dated {describe(self.late_us)} before they were written"
        if self.unread:
            words += f", {plural(len(self.unread), 'rotated file')} not read ({next(iter(self.unread.values()))})"
        if self.rejections.total:
            words += f", {_in_words(self.rejections)}"
        return words

    def _gaps_in_words(self, now: Instant) -> str:
        """Return number, cause and extent of recent gaps: `, 2 gaps in the last 30 min (…, from … to …)`."""
        gaps = [gap for gap in self.gaps if not self.window_us or gap.until >= now - self.window_us]
        if not gaps:
            return ""
        all_of_them = reduce(Gap.joined, gaps)
        words = f", {plural(all_of_them.gaps, 'gap')}"
        if self.window_us:
            words += f" in the last {describe(self.window_us)}"
        since, until = (isoformat(at)[:19] for at in (all_of_them.since, all_of_them.until))
        return f"{words} ({all_of_them.cause}, from {since}Z to {until}Z)"


def no_later_than_written(at: Instant | None, path: Path) -> Instant | None:
    """Return the earlier of a row's time and its file's modification time; None if either is not known.

    Neither alone shows the time on the clock: the time of a row comes from a host or receiver that may be wrong, and
    any user who touches the file changes its time.
    """
    if at is None:
        return None
    try:
        return min(at, path.stat().st_mtime_ns // 1000)
    except OSError:
        return None


def _in_words(rejections: RejectionCount) -> str:
    """Return the number of rejected lines, and the reasons: `5 rejected (3 not JSON, 2 time without offset)`."""
    named = rejections.by_reason.most_common(_REASONS_NAMED)
    reasons = [f"{count} {reason}" for reason, count in named]
    if other_reasons := len(rejections.by_reason) - len(named):
        others = rejections.total - sum(count for _, count in named)
        reasons.append(f"{others} for {plural(other_reasons, 'other reason')}")
    return f"{rejections.total} rejected ({', '.join(reasons)})"
