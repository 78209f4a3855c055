"""What the receiver answered to one host of late: exact counts over any stretch of time.

Each event is one number, its instant and behind it what happened, in one sorted array: 8 bytes an event, found by
bisection. Nothing is bucketed, so a count is exact to the microsecond. As good as always all that is known is asked
for, so that is counted as it comes and goes; of another stretch only what makes the difference is gone through. Nothing
expires by itself, so `evict` must be called with the present: a quiet host shrinks like any other.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from fleet_health.domain.instant import Instant

SUCCESS, CLIENT_ERROR, SERVER_ERROR = 2, 4, 5
"""The classes of HTTP status that say something about a host: the status divided by 100."""

NEVER: Instant = 1 << 62
"""Later than every event."""

_KIND_BITS = 10
_KIND = (1 << _KIND_BITS) - 1
# What happened is an HTTP status, or this, which is none.
_UNSTAMPED = 0
# The first kind beyond 2xx, and beyond 4xx.
_REFUSED, _FAILED = 300, 500


class Counts(msgspec.Struct, frozen=True, gc=False):
    """How many events there were. A Struct, as for observations: one is made for every host at each evaluation.

    Attributes:
        accepted: Answers of 2xx.
        client_errors: Answers of 4xx.
        server_errors: Answers of 5xx.
        unstamped: Rejections for want of a code stamp.

    """

    accepted: int = 0
    client_errors: int = 0
    server_errors: int = 0
    unstamped: int = 0

    @property
    def refused(self) -> int:
        """Answers of 4xx and 5xx. An upload without a stamp is warned of and refused, so it is among them as well."""
        return self.client_errors + self.server_errors

    @property
    def answers(self) -> int:
        """Answers of any class."""
        return self.accepted + self.client_errors + self.server_errors


NO_EVENTS = Counts()


class HostWindow:
    """The receiver's answers to one host by status, and its unstamped rejections, in whatever order they arrive."""

    # The counts are those of all events.
    __slots__ = ("_accepted", "_client_errors", "_events", "_server_errors", "_unstamped", "due_at")

    def __init__(self) -> None:
        self.due_at: Instant = NEVER
        """When the table that it is in looks at it again; for that table alone."""
        self._events = array("q")
        self._accepted = self._client_errors = self._server_errors = self._unstamped = 0

    def __len__(self) -> int:
        return len(self._events)

    def add_response(self, at: Instant, status: int) -> None:
        """Add one answer with an HTTP status of the classes above."""
        self._add(at, status)
        if status < _REFUSED:
            self._accepted += 1
        elif status < _FAILED:
            self._client_errors += 1
        else:
            self._server_errors += 1

    def add_unstamped(self, at: Instant) -> None:
        """Add one rejection for want of a code stamp."""
        self._add(at, _UNSTAMPED)
        self._unstamped += 1

    @property
    def first_at(self) -> Instant:
        """The instant of the oldest event; `NEVER` if there is none."""
        return self._events[0] >> _KIND_BITS if self._events else NEVER

    @property
    def last_at(self) -> Instant | None:
        """The instant of the newest event, whatever it is; None if there is none."""
        return self._events[-1] >> _KIND_BITS if self._events else None

    @property
    def accepted_at(self) -> Instant | None:
        """The instant of the newest 2xx, also of one that is dated ahead of the clock; None if there is none."""
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
        first, end = since << _KIND_BITS, (until + 1) << _KIND_BITS
        if first <= events[0] and events[-1] < end:
            return self.totals
        low, high = bisect_left(events, first), bisect_left(events, end)
        if (high - low) * 2 < len(events):
            return _counted(events[low:high])
        outside = _counted(events[:low] + events[high:])
        return Counts(
            self._accepted - outside.accepted,
            self._client_errors - outside.client_errors,
            self._server_errors - outside.server_errors,
            self._unstamped - outside.unstamped,
        )

    def count_by_status(self, since: Instant, until: Instant) -> dict[int, int]:
        """Count the answers with `since <= t <= until` by HTTP status; a status with none is left out."""
        kinds = Counter(event & _KIND for event in self._events[self._place(since) : self._place(until + 1)])
        return {status: count for status, count in sorted(kinds.items()) if status != _UNSTAMPED}

    def earliest(self, classes: Container[int], since: Instant) -> Instant | None:
        """Give the first answer of some classes with `since <= t`; None if there is none."""
        return _first_of(classes, self._events[self._place(since) :])

    def earliest_unstamped(self, since: Instant) -> Instant | None:
        """Give the first unstamped rejection with `since <= t`; None if there is none."""
        return self.earliest((_UNSTAMPED,), since) if self._unstamped else None

    def latest(self, classes: Container[int], until: Instant) -> Instant | None:
        """Give the last answer of some classes with `t <= until`; None if there is none."""
        return _first_of(classes, reversed(self._events[: self._place(until + 1)]))

    def evict(self, before: Instant) -> None:
        """Forget the events with `t < before`."""
        events, first = self._events, before << _KIND_BITS
        if not events or first <= events[0]:
            return
        end = bisect_left(events, first)
        gone = _counted(events[:end])
        self._accepted -= gone.accepted
        self._client_errors -= gone.client_errors
        self._server_errors -= gone.server_errors
        self._unstamped -= gone.unstamped
        del events[:end]

    def _add(self, at: Instant, kind: int) -> None:
        events, event = self._events, at << _KIND_BITS | kind
        if not events or event >= events[-1]:  # as good as always: a journal is read in order
            events.append(event)
        else:
            insort(events, event)

    def _place(self, at: Instant) -> int:
        return bisect_left(self._events, at << _KIND_BITS)


def _counted(events: array[int]) -> Counts:
    accepted = client_errors = server_errors = unstamped = 0
    for event in events:
        kind = event & _KIND
        if kind >= _FAILED:
            server_errors += 1
        elif kind >= _REFUSED:
            client_errors += 1
        elif kind != _UNSTAMPED:
            accepted += 1
        else:
            unstamped += 1
    return Counts(accepted, client_errors, server_errors, unstamped)


def _first_of(classes: Container[int], events: Iterable[int]) -> Instant | None:
    for event in events:
        if (event & _KIND) // 100 in classes:
            return event >> _KIND_BITS
    return None
