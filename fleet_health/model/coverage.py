"""Which stretches of time each source has shown: what an evaluation must know beside what was seen."""

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
"""The reasons of gaps. When the clock was set nothing was lost: but counts over that stretch prove nothing."""
SEVERAL = "entries were lost"
"""The reason of gaps that were put together, and had different ones."""
NOT_UNDERSTOOD = "none of what came in was understood"
"""The reason of a stretch that was read but not understood."""
CLOCKS_US, _IN_FLIGHT_US = 300 * SECOND_US, 10 * SECOND_US
"""How much the clocks of the journal and of the index may differ, and how much later than its row a line may come."""
_COUNTED = frozenset({SUPPRESSED, BROKEN})

# A row that is torn, or an odd request, comes singly: if of the first few none is understood, it is the format. Where
# the format was right before, more are asked for: in a night without uploads odd ones come with nothing in between.
MISSED_AT_FIRST, MISSED_IN_A_ROW = 5, 10


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap: a stretch of time of which not everything was seen, nor ever will be.

    Attributes:
        since: What was seen before this instant is whole.
        until: So is what was seen after this one.
        reason: What happened, in a few words.
        messages: How many messages are known to be missing; 0 if that is not known.
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
        """Return it as a JSON object."""
        return {
            "since_wall": isoformat(self.since),
            "until_wall": isoformat(self.until),
            "reason": self.reason,
            "messages": self.messages or None,
        }

    def in_words(self, source: str) -> str:
        """Return it as it is listed for people: `journal from 2026-11-23T18:00:00Z to …: it begins later`."""
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
class Share:
    """How much of what came in by a source was understood.

    Attributes:
        came_in: How many rows of the index, or upload lines of the journal.
        understood: How many of them were understood.
        missed: How many came in after the last one that was understood.
        last_at: When the last one that was understood is dated; None if none ever was.

    """

    came_in: int = 0
    understood: int = 0
    missed: int = 0
    last_at: Instant | None = None

    @property
    def is_understood(self) -> bool:
        """Whether this is the format that we read: not if none of some was understood, or none of many in a row."""
        return self.missed < (MISSED_AT_FIRST if self.last_at is None else MISSED_IN_A_ROW)

    def row(self) -> dict[str, int]:
        """Return it as a JSON object."""
        return {"came_in": self.came_in, "understood": self.understood}

    def followed_by(self, later: Share) -> Share:
        """Return the share of both: of this, and of what came in after it."""
        return Share(
            self.came_in + later.came_in,
            self.understood + later.understood,
            later.missed + (0 if later.understood else self.missed),
            self.last_at if later.last_at is None else later.last_at,
        )


class Understanding:
    """Finds the stretches of which nothing was understood, item by item in order of time.

    Attributes:
        misses: Those after which something was understood again; one that began before all is known from 0 on.

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
        """Record an item that may be neither: it is nothing that anybody must understand."""
        if is_missed:
            self.note_missed()
        elif is_understood:
            self.note(at)

    def note_missed(self) -> None:
        """Record an item that was not."""
        self._missed += 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """One source's.

    Attributes:
        source: `journal` or `index`, or that of a receiver, such as `journal@NAME`.
        unseen_since: Since when it cannot be read; None while it can.
        reason: Why it cannot be read; empty while it can.
        gaps: The stretches that it did not show, and never will.
        begins_at: It holds nothing that is dated before this; None if it reaches back far enough.
        share: How much of what came in was understood.
        void_since: Since when it is known to hold nothing of the receiver at all, not one entry; None if it does.
        quiet_since: Since when nothing of the receiver has come: its last entry, or as far back as was read if there is
            none; None if that is not known.
        read_since: From when on it was read; None if that is not known.
        doubt: Why it cannot be that of the receiver, though it can be read, in a sentence; empty if it can.
        late_us: How long before it was written the latest row is dated, in microseconds; 0 if it is dated as usual.
        misses: The stretches of which nothing was understood, before something was again; for a look at the past.
        quiet: From when to when nothing of the receiver came, and then something did, in order; for who looks back. A
            stretch that is too short to matter may be left out.

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
        """Which of a receiver's sources it is: `journal` or `index`."""
        return general(self.source)

    @property
    def receiver(self) -> str:
        """The name of the receiver; empty where there is only one."""
        return receiver_of(self.source)

    def as_of(self, at: Instant) -> Coverage:
        """Return what was known at an instant of the past of how much was understood, and since when nothing came."""
        share, quiet_since = self.share, self.quiet_since
        if (miss := next((one for one in self.misses if one.since < at < one.until), None)) is not None:
            share = replace(share, missed=miss.messages, last_at=miss.since or None)
        if quiet_since is not None and quiet_since > at:
            place = bisect_left(self.quiet, (at,))
            since, until = self.quiet[place - 1] if place else (at, at)
            quiet_since = since if at < until else at
        return replace(self, share=share, quiet_since=quiet_since, misses=(), quiet=())

    def is_shown(self, since: Instant, until: Instant) -> bool:
        """Return whether all that it holds of the time between two instants was read, understood or not."""
        if self.unseen_since is not None and self.unseen_since <= until:
            return False
        return not any(gap.overlaps(since, until) for gap in self.gaps)

    def is_whole(self, since: Instant, until: Instant) -> bool:
        """Return whether all that it holds of the time between two instants, both included, was read and understood.

        One line that was not understood is no more than that line; but of a format that we do not read nothing is seen.
        """
        return not self.doubt and self.is_shown(since, until) and self.is_understood(until)

    def reaches(self, since: Instant) -> bool:
        """Return whether it holds what is dated at an instant and later, and not only what came later still."""
        return self.begins_at is None or self.begins_at <= since

    def is_understood(self, until: Instant) -> bool:
        """Return whether what came in last, up to an instant, was understood."""
        return self.share.is_understood or (self.share.last_at is not None and self.share.last_at >= until)

    def is_unmatched(self, row_instants: Iterable[Instant], now: Instant) -> bool:
        """Return whether it has shown no response at all, though the index has rows of uploads meanwhile.

        Then its lines are those of another program, or of a format that the patterns do not match.
        """
        if self.kind != "journal" or self.share.last_at is not None or self.read_since is None:
            return False
        since = max(self.read_since, self.begins_at or 0) + CLOCKS_US
        return self.is_shown(since, now) and any(since < at < now - _IN_FLIGHT_US for at in row_instants)

    def missing(self, since: Instant, until: Instant) -> int | None:
        """Return how many messages are missing, of what it holds of the time between two instants; None if unknown."""
        if self.unseen_since is not None and self.unseen_since <= until:
            return None
        if self.doubt or not self.is_understood(until):
            return None
        gaps = [gap for gap in self.gaps if gap.overlaps(since, until)]
        if any(gap.reason not in _COUNTED or not gap.messages for gap in gaps):
            return None
        return sum(gap.messages for gap in gaps)

    def unseen_us(self, since: Instant, until: Instant) -> int:
        """Return how much of the time between two instants was not seen whole, in microseconds.

        Without the time before the source begins: that was not lost.
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
        """Return the stretch up to the later of two instants of which nothing was understood, if there is one."""
        last_at = self.share.last_at
        return Gap(since if last_at is None else max(since, last_at), until, NOT_UNDERSTOOD, self.share.missed)

    def unread(self, since: Instant, until: Instant) -> list[Gap]:
        """Return each gap between two instants, in order, with its reason."""
        stretches = [gap for gap in self.gaps if gap.overlaps(since, until)]
        stretches += [replace(one, since=max(since, one.since)) for one in self.misses if one.overlaps(since, until)]
        if self.begins_at is not None and since < self.begins_at:
            stretches.append(Gap(since, min(self.begins_at, until), self._begins_later))
        if self.unseen_since is not None and self.unseen_since <= until:
            stretches.append(Gap(max(since, self.unseen_since), until, self.reason))
        if self.doubt:
            stretches.append(Gap(since, until, self.doubt))
        if not self.is_understood(until):
            stretches.append(self.missed(since, until))
        return sorted(stretches, key=lambda one: (one.since, one.until))
