"""The recent responses to one host: exact counts over any span of time.

Each event is one number, its instant and behind it what happened, in one sorted array: 8 bytes an event, found by
bisection. So a count is exact to the microsecond. Nearly every count is of all known events, so their total is
updated as they come and go; for another span only the difference is counted. Nothing expires by itself, so `evict` must
be called with the present: a quiet host shrinks like any other.

A host with more than `limit` events is counted in steps instead: the same array then holds one number for each step and
kind of event, with the number of events that it stands for. A step is a second, and doubles until the array is short
enough. A step that overlaps a span counts as a whole, so a count is at least the exact one, and at most that of a span
longer by one step at both ends.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from fleet_health.model.instant import Instant

SUCCESS, CLIENT_ERROR, SERVER_ERROR = 2, 4, 5
"""The classes of HTTP status that say something about a host: the status divided by 100."""

NEVER: Instant = 1 << 62
"""Later than every event."""

EXACT_EVENTS = 16_384
"""How many events of a host are kept one by one: 128 KiB, and nine uploads a second for half an hour."""
FEWEST_EVENTS = 1_024
"""No window has a lower limit. More than there are HTTP statuses, so even one step of each fits."""

_KIND_BITS = 10
_KIND = (1 << _KIND_BITS) - 1
# The kind of an event is an HTTP status, or this, which is not one.
_UNSTAMPED = 0
REFUSED = 300
"""The first status beyond those of an accepted upload."""
# The first kind beyond 4xx.
_FAILED = 500


class Counts(msgspec.Struct, frozen=True, gc=False):
    """How many events there were. A Struct, as for observations: one is made for every host at each evaluation.

    Attributes:
        accepted: Responses of 2xx.
        client_errors: Responses of 4xx.
        server_errors: Responses of 5xx.
        unstamped: Rejections because of a missing stamp.

    """

    accepted: int = 0
    client_errors: int = 0
    server_errors: int = 0
    unstamped: int = 0

    @property
    def refused(self) -> int:
        """Responses of 4xx and 5xx. An upload without a stamp causes a warning and a refusal, so it is included."""
        return self.client_errors + self.server_errors

    @property
    def answers(self) -> int:
        """Responses of any class."""
        return self.accepted + self.client_errors + self.server_errors


NO_EVENTS = Counts()


class _Steps:
    """How the events of a busy host are counted.

    Attributes:
        length: A step, in microseconds; each begins at a multiple of it.
        counts: How many events each number of the window's array stands for.

    """

    __slots__ = ("counts", "length")

    def __init__(self, length: int, counts: array[int]) -> None:
        self.length = length
        self.counts = counts


class HostWindow:
    """The receiver's responses to one host by status, and its unstamped rejections, in whatever order they arrive.

    Attributes:
        due_at: When its table looks at it again; only that table uses this.
        limit: How many events are kept one by one, at most; half as many steps.

    """

    # The counts are those of all events.
    __slots__ = (
        "_accepted",
        "_client_errors",
        "_events",
        "_server_errors",
        "_steps",
        "_unstamped",
        "due_at",
        "limit",
    )

    def __init__(self, limit: int = EXACT_EVENTS) -> None:
        self.due_at: Instant = NEVER
        self.limit = limit
        self._events = array("q")
        self._steps: _Steps | None = None
        self._accepted = self._client_errors = self._server_errors = self._unstamped = 0

    def __len__(self) -> int:
        return self._accepted + self._client_errors + self._server_errors + self._unstamped

    @property
    def size(self) -> int:
        """How many numbers are kept: its memory is proportional to that."""
        return len(self._events)

    @property
    def step_us(self) -> int:
        """The length of the steps that it counts in, in microseconds; 0 if every event is kept."""
        return 0 if self._steps is None else self._steps.length

    def add_response(self, at: Instant, status: int) -> None:
        """Add one response with an HTTP status of the classes above."""
        self._add(at, status)
        if status < REFUSED:
            self._accepted += 1
        elif status < _FAILED:
            self._client_errors += 1
        else:
            self._server_errors += 1

    def add_unstamped(self, at: Instant) -> None:
        """Add one rejection because of a missing stamp."""
        self._add(at, _UNSTAMPED)
        self._unstamped += 1

    @property
    def first_at(self) -> Instant:
        """The instant of the oldest event; `NEVER` if there is none. If steps are counted, the end of its step."""
        return (self._events[0] >> _KIND_BITS) + self._slack_us if self._events else NEVER

    @property
    def end_at(self) -> Instant:
        """The instant of the latest event; `-NEVER` if there is none. If steps are counted, the end of its step."""
        return (self._events[-1] >> _KIND_BITS) + self._slack_us if self._events else -NEVER

    @property
    def last_at(self) -> Instant | None:
        """The instant of the newest event, whatever it is; None if there is none."""
        return self._events[-1] >> _KIND_BITS if self._events else None

    @property
    def accepted_at(self) -> Instant | None:
        """The instant of the newest 2xx, even if it is ahead of the clock; None if there is none."""
        return _first_of((SUCCESS,), reversed(self._events)) if self._accepted else None

    @property
    def totals(self) -> Counts:
        """The counts of all events."""
        return Counts(self._accepted, self._client_errors, self._server_errors, self._unstamped)

    def count(self, since: Instant, until: Instant) -> Counts:
        """Count the events with `since <= t <= until`; both ends belong to the window."""
        events = self._events
        if not events:
            return NO_EVENTS
        first, end = (since - self._slack_us) << _KIND_BITS, (until + 1) << _KIND_BITS
        if first <= events[0] and events[-1] < end:
            return self.totals
        low, high = bisect_left(events, first), bisect_left(events, end)
        if (high - low) * 2 < len(events):
            return self._counted(low, high)
        before, after = self._counted(0, low), self._counted(high, len(events))
        return Counts(
            self._accepted - before.accepted - after.accepted,
            self._client_errors - before.client_errors - after.client_errors,
            self._server_errors - before.server_errors - after.server_errors,
            self._unstamped - before.unstamped - after.unstamped,
        )

    def count_by_status(self, since: Instant, until: Instant) -> dict[int, int]:
        """Count the responses with `since <= t <= until` by HTTP status; a status with none is left out."""
        low, high = self._place(since), bisect_left(self._events, (until + 1) << _KIND_BITS)
        if self._steps is None:
            kinds = Counter(map(_KIND.__and__, self._events[low:high]))
        else:
            kinds = Counter()
            for event, count in zip(self._events[low:high], self._steps.counts[low:high], strict=True):
                kinds[event & _KIND] += count
        return {status: count for status, count in sorted(kinds.items()) if status != _UNSTAMPED}

    def earliest(self, classes: Container[int], since: Instant) -> Instant | None:
        """Return the first response of some classes with `since <= t`; None if there is none.

        If steps are counted, it is the begin of its step, or `since` if that is later.
        """
        found = _first_of(classes, self._events[self._place(since) :])
        return None if found is None else max(found, since)

    def earliest_unstamped(self, since: Instant) -> Instant | None:
        """Return the first unstamped rejection with `since <= t`; None if there is none. Steps as in `earliest`."""
        return self.earliest((_UNSTAMPED,), since) if self._unstamped else None

    def latest(self, classes: Container[int], until: Instant) -> Instant | None:
        """Return the last response of some classes with `t <= until`; None if there is none.

        If steps are counted, it is the begin of its step.
        """
        end = bisect_left(self._events, (until + 1) << _KIND_BITS)
        return _first_of(classes, reversed(self._events[:end]))

    def evict(self, before: Instant) -> None:
        """Forget the events with `t < before`; a step that contains the instant is kept."""
        events, first = self._events, (before - self._slack_us) << _KIND_BITS
        if not events or first <= events[0]:
            return
        end = bisect_left(events, first)
        gone = self._counted(0, end)
        self._accepted -= gone.accepted
        self._client_errors -= gone.client_errors
        self._server_errors -= gone.server_errors
        self._unstamped -= gone.unstamped
        del events[:end]
        if self._steps is not None:
            del self._steps.counts[:end]
            if not events:
                self._steps = None

    def economise(self, limit: int) -> None:
        """Set the limit of numbers that are kept; if there are more, count events in steps."""
        self.limit = max(FEWEST_EVENTS, limit)
        if self.size > (self.limit if self._steps is None else self.limit // 2):
            self._coarsen()

    @property
    def _slack_us(self) -> int:
        """By how much an event may be later than its instant in the array."""
        return 0 if self._steps is None else self._steps.length - 1

    def _add(self, at: Instant, kind: int) -> None:
        if self._steps is not None:
            self._add_to_step(self._steps, at, kind)
            return
        events, event = self._events, at << _KIND_BITS | kind
        if not events or event >= events[-1]:  # nearly always: a journal is read in order
            events.append(event)
        else:
            insort(events, event)
        if len(events) > self.limit:
            self._coarsen()

    def _add_to_step(self, steps: _Steps, at: Instant, kind: int) -> None:
        events, event = self._events, (at - at % steps.length) << _KIND_BITS | kind
        place = bisect_left(events, event)
        if place < len(events) and events[place] == event:
            steps.counts[place] += 1
            return
        events.insert(place, event)
        steps.counts.insert(place, 1)
        if len(events) > self.limit // 2:
            self._coarsen()

    def _coarsen(self) -> None:
        """Count in longer steps until half of the limit is free, so that it is rarely done."""
        length = SECOND_US if self._steps is None else self._steps.length * 2
        while True:
            merged = Counter[int]()
            for event, count in self._counted_events():
                at = event >> _KIND_BITS
                merged[(at - at % length) << _KIND_BITS | event & _KIND] += count
            events = array("q", sorted(merged))
            self._events, self._steps = events, _Steps(length, array("q", (merged[event] for event in events)))
            if len(events) <= self.limit // 4 or length > events[-1] - events[0] >> _KIND_BITS:
                return
            length *= 2

    def _counted_events(self) -> Iterator[tuple[int, int]]:
        if self._steps is None:
            return ((event, 1) for event in self._events)
        return zip(self._events, self._steps.counts, strict=True)

    def _counted(self, low: int, high: int) -> Counts:
        """Count the events in a part of the array."""
        if low >= high:
            return NO_EVENTS
        if self._steps is not None:
            return _weighed(self._events[low:high], self._steps.counts[low:high])
        accepted = client_errors = server_errors = unstamped = 0
        for event in self._events[low:high]:
            kind = event & _KIND
            if kind >= _FAILED:
                server_errors += 1
            elif kind >= REFUSED:
                client_errors += 1
            elif kind != _UNSTAMPED:
                accepted += 1
            else:
                unstamped += 1
        return Counts(accepted, client_errors, server_errors, unstamped)

    def _place(self, since: Instant) -> int:
        return bisect_left(self._events, (since - self._slack_us) << _KIND_BITS)


def _weighed(events: Iterable[int], counts: Iterable[int]) -> Counts:
    """Count events of which each stands for several."""
    accepted = client_errors = server_errors = unstamped = 0
    for event, count in zip(events, counts, strict=True):
        kind = event & _KIND
        if kind >= _FAILED:
            server_errors += count
        elif kind >= REFUSED:
            client_errors += count
        elif kind != _UNSTAMPED:
            accepted += count
        else:
            unstamped += count
    return Counts(accepted, client_errors, server_errors, unstamped)


def _first_of(classes: Container[int], events: Iterable[int]) -> Instant | None:
    for event in events:
        if (event & _KIND) // 100 in classes:
            return event >> _KIND_BITS
    return None
