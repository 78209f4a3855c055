"""The spans of time that each source has shown: an evaluation must know what it could not see."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US, Instant, isoformat
from fleet_health.model.subject import general, receiver_of

if TYPE_CHECKING:
    from collections.abc import Iterable

SUPPRESSED = "journald suppressed messages"
BROKEN = "journald broke a long line, and the next may be missing"
REMOVED = "entries were removed before they were read"
LEFT_OUT = "a journal file is damaged, or of a format that libsystemd does not read"
CLOCK_SET = "the clock was set"
"""The reasons of gaps. When the clock was set, nothing was lost, but counts over that span prove nothing."""
SEVERAL = "entries were lost"
"""The reason of a gap merged from gaps with different reasons."""
NOT_UNDERSTOOD = "none of what came in was understood"
"""The reason of a span that was read but not understood."""
CLOCKS_US, _IN_FLIGHT_US = 300 * SECOND_US, 10 * SECOND_US
"""How much the clocks of the journal and of the index may differ, and how much later than its row a line may come."""
_COUNTED = frozenset({SUPPRESSED, BROKEN})

# Torn rows and odd requests come singly: if none of the first few is understood, the format is unknown. After a known
# format it takes more, because in a night without uploads several odd requests may follow each other.
MISSED_AT_FIRST, MISSED_IN_A_ROW = 5, 10


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of time in which something was missed for good.

    Attributes:
        since: Everything before this instant was seen.
        until: Everything after this instant was seen.
        reason: What happened, in a few words.
        messages: How many messages are known to be missing; 0 if that is not known.
        gaps: How many gaps were merged into this one.

    """

    since: Instant
    until: Instant
    reason: str
    messages: int = 0
    gaps: int = 1

    @property
    def cause(self) -> str:
        """The reason, with the number of missing messages if it is known."""
        if not self.messages:
            return self.reason
        if self.reason == SUPPRESSED:
            return f"journald suppressed {self.messages} messages"
        return f"{self.messages} messages may be missing"

    def row(self) -> dict[str, str | int | None]:
        """Return it as a JSON object."""
        return {
            "since_wall": isoformat(self.since),
            "until_wall": isoformat(self.until),
            "reason": self.reason,
            "messages": self.messages or None,
        }

    def in_words(self, source: str) -> str:
        """Return it as a line for people: `journal from 2026-11-23T18:00:00Z to …: it begins later`."""
        return f"{source} from {isoformat(self.since)[:19]}Z to {isoformat(self.until)[:19]}Z: {self.reason}"

    def overlaps(self, since: Instant, until: Instant) -> bool:
        """Return whether something may be missing between two instants, both included."""
        return self.since <= until and since <= self.until

    def covers(self, other: Gap) -> bool:
        """Return whether another gap of the same reason adds nothing to this one."""
        return self.reason == other.reason and self.since <= other.since and other.until <= self.until

    def joined(self, other: Gap) -> Gap:
        """Return one gap that covers both and the time between them."""
        return Gap(
            min(self.since, other.since),
            max(self.until, other.until),
            self.reason if self.reason == other.reason else SEVERAL,
            self.messages + other.messages,
            self.gaps + other.gaps,
        )


def latest_run(gaps: Iterable[Gap], window_us: int) -> Gap | None:
    """Merge the latest gaps that are at most one window apart; return None if there are no gaps.

    No window that ends within the result, or up to one window after it, was seen completely. Steps of the clock are
    left out.
    """
    run: Gap | None = None
    for gap in sorted((one for one in gaps if one.reason != CLOCK_SET), key=lambda one: one.since):
        run = gap if run is None or gap.since - run.until > window_us else run.joined(gap)
    return run


def recent(gaps: Iterable[Gap], since: Instant, window_us: int) -> list[Gap]:
    """Return the gaps that end at an instant or later, preceded by one gap for the run that leads up to the first.

    So the begin of the run stays known, however long ago it is.
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
    # A gap within the first one is part of the run as well.
    for gap in early:
        if gap.since > first.since:
            before = gap if before is None else before.joined(replace(gap, since=before.since, until=before.until))
    return kept if before is None else [before, *kept]


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a source's input was understood.

    Attributes:
        came_in: How many rows of the index, or upload lines of the journal.
        understood: How many of them were understood.
        missed: How many came in after the last one that was understood.
        last_at: The time of the last one that was understood; None if none ever was.

    """

    came_in: int = 0
    understood: int = 0
    missed: int = 0
    last_at: Instant | None = None

    @property
    def is_understood(self) -> bool:
        """Whether the format is known: not if none of several was understood, or none of many in a row."""
        return self.missed < (MISSED_AT_FIRST if self.last_at is None else MISSED_IN_A_ROW)

    def row(self) -> dict[str, int]:
        """Return it as a JSON object."""
        return {"came_in": self.came_in, "understood": self.understood}

    def followed_by(self, later: Share) -> Share:
        """Return the share of this input and the input after it."""
        return Share(
            self.came_in + later.came_in,
            self.understood + later.understood,
            later.missed + (0 if later.understood else self.missed),
            self.last_at if later.last_at is None else later.last_at,
        )


class Understanding:
    """Finds the spans in which nothing was understood, item by item in order of time.

    Attributes:
        misses: The spans that ended with something understood; the first one begins at 0 if its begin is not known.

    """

    def __init__(self) -> None:
        self.misses: list[Gap] = []
        self._missed = 0
        self._last_at: Instant | None = None

    def note(self, at: Instant) -> None:
        """Record an item that was understood."""
        if not Share(missed=self._missed, last_at=self._last_at).is_understood:
            self.misses.append(Gap(self._last_at or 0, at, NOT_UNDERSTOOD, self._missed))
        self._missed = 0
        self._last_at = at if self._last_at is None else max(self._last_at, at)

    def take(self, at: Instant, *, is_missed: bool, is_understood: bool) -> None:
        """Record an item that need not be understood."""
        if is_missed:
            self.note_missed()
        elif is_understood:
            self.note(at)

    def note_missed(self) -> None:
        """Record an item that was not understood."""
        self._missed += 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one source has shown, and what it has not.

    Attributes:
        source: `journal` or `index`, or that of a receiver, such as `journal@NAME`.
        unseen_since: Since when it cannot be read; None while it can.
        reason: Why it cannot be read; empty while it can.
        gaps: The spans that it did not show completely, and never will.
        begins_at: The time of its first entry; None if it reaches back far enough.
        share: How much of what came in was understood.
        void_since: Since when it is known to have no entry of the receiver at all; None if it has one.
        quiet_since: The time of the receiver's last entry, or of the begin of reading if there is none; None if that is
            not known.
        read_since: From when on it was read; None if that is not known.
        doubt: A sentence that says why it cannot be the receiver's, although it can be read; empty if it can.
        late_us: By how much the time of the latest row precedes its writing, in microseconds; 0 if that is normal.
        misses: The past spans in which nothing was understood.
        quiet: The past spans without an entry of the receiver, in order. Short ones may be left out.

    """

    source: str
    unseen_since: Instant | None = None
    reason: str = ""
    gaps: tuple[Gap, ...] = ()
    begins_at: Instant | None = None
    share: Share = Share()
    void_since: Instant | None = None
    quiet_since: Instant | None = None
    late_us: int = 0
    read_since: Instant | None = None
    doubt: str = ""
    misses: tuple[Gap, ...] = ()
    quiet: tuple[tuple[Instant, Instant], ...] = ()

    @property
    def kind(self) -> str:
        """The kind of the source: `journal` or `index`."""
        return general(self.source)

    @property
    def receiver(self) -> str:
        """The name of the receiver; empty if there is only one."""
        return receiver_of(self.source)

    def as_of(self, at: Instant) -> Coverage:
        """Return the coverage as it was known at a past instant: what was understood, and since when nothing came."""
        share, quiet_since = self.share, self.quiet_since
        if (miss := next((one for one in self.misses if one.since < at < one.until), None)) is not None:
            share = replace(share, missed=miss.messages, last_at=miss.since or None)
        if quiet_since is not None and quiet_since > at:
            place = bisect_left(self.quiet, (at,))
            since, until = self.quiet[place - 1] if place else (at, at)
            quiet_since = since if at < until else at
        return replace(self, share=share, quiet_since=quiet_since, misses=(), quiet=())

    def is_shown(self, since: Instant, until: Instant) -> bool:
        """Return whether everything between two instants was read, understood or not."""
        if self.unseen_since is not None and self.unseen_since <= until:
            return False
        return not any(gap.overlaps(since, until) for gap in self.gaps)

    def is_whole(self, since: Instant, until: Instant) -> bool:
        """Return whether everything between two instants, both included, was read and understood.

        A single line that was not understood does not matter; an unknown format means that nothing was seen.
        """
        return not self.doubt and self.is_shown(since, until) and self.is_understood(until)

    def reaches(self, since: Instant) -> bool:
        """Return whether it reaches back to an instant."""
        return self.begins_at is None or self.begins_at <= since

    def is_understood(self, until: Instant) -> bool:
        """Return whether the latest input, up to an instant, was understood."""
        return self.share.is_understood or (self.share.last_at is not None and self.share.last_at >= until)

    def is_unmatched(self, row_instants: Iterable[Instant], now: Instant) -> bool:
        """Return whether it has shown no response at all, although the index has rows of uploads from the same time.

        Then its lines are those of another program, or of a format that the patterns do not match.
        """
        if self.kind != "journal" or self.share.last_at is not None or self.read_since is None:
            return False
        since = max(self.read_since, self.begins_at or 0) + CLOCKS_US
        return self.is_shown(since, now) and any(since < at < now - _IN_FLIGHT_US for at in row_instants)

    def missing(self, since: Instant, until: Instant) -> int | None:
        """Return how many messages are missing between two instants; None if not known."""
        if self.unseen_since is not None and self.unseen_since <= until:
            return None
        if self.doubt or not self.is_understood(until):
            return None
        gaps = [gap for gap in self.gaps if gap.overlaps(since, until)]
        if any(gap.reason not in _COUNTED or not gap.messages for gap in gaps):
            return None
        return sum(gap.messages for gap in gaps)

    def unseen_us(self, since: Instant, until: Instant) -> int:
        """Return for how much of the time between two instants it is incomplete, in microseconds.

        The time before its begin does not count: nothing of it was lost.
        """
        total, seen_to = 0, since
        for gap in self.unread(since, until):
            if gap.reason == self._begins_later:
                continue
            total += max(0, min(gap.until, until) - max(gap.since, seen_to))
            seen_to = max(seen_to, gap.until)
        return total

    @property
    def _begins_later(self) -> str:
        return f"the {self.source} begins later"

    def missed(self, since: Instant, until: Instant) -> Gap:
        """Return the span in which nothing was understood, up to the later of two instants; None if there is none."""
        last_at = self.share.last_at
        return Gap(since if last_at is None else max(since, last_at), until, NOT_UNDERSTOOD, self.share.missed)

    def unread(self, since: Instant, until: Instant) -> list[Gap]:
        """Return each gap between two instants, in order, with its reason."""
        spans = [gap for gap in self.gaps if gap.overlaps(since, until)]
        spans += [replace(one, since=max(since, one.since)) for one in self.misses if one.overlaps(since, until)]
        if self.begins_at is not None and since < self.begins_at:
            spans.append(Gap(since, min(self.begins_at, until), self._begins_later))
        if self.unseen_since is not None and self.unseen_since <= until:
            spans.append(Gap(max(since, self.unseen_since), until, self.reason))
        if self.doubt:
            spans.append(Gap(since, until, self.doubt))
        if not self.is_understood(until):
            spans.append(self.missed(since, until))
        return sorted(spans, key=lambda one: (one.since, one.until))
