"""What the receiver answered to one host of late: exact counts over any stretch of time.

Each timeline is a sorted array of instants, 8 bytes an event, counted by bisection when somebody asks. Nothing
is bucketed, so a count is exact to the microsecond; nothing expires by itself, so `evict` must be called with
the present: a quiet host shrinks like any other.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.domain.instant import Instant

SUCCESS, CLIENT_ERROR, SERVER_ERROR = 2, 4, 5
"""The classes of HTTP status that say something about a host: the status divided by 100."""


class Timeline:
    """Instants in ascending order, in whatever order they arrive."""

    __slots__ = ("_instants",)

    def __init__(self) -> None:
        self._instants = array("q")

    def __len__(self) -> int:
        return len(self._instants)

    def add(self, at: Instant) -> None:
        """Add one event."""
        instants = self._instants
        if not instants or at >= instants[-1]:  # as good as always: a journal is read in order
            instants.append(at)
        else:
            insort(instants, at)

    def count(self, since: Instant, until: Instant) -> int:
        """Count the events with `since <= t <= until`; both ends belong to the window."""
        instants = self._instants
        if not instants or instants[-1] < since:
            return 0
        return bisect_right(instants, until) - bisect_left(instants, since)

    def has(self, since: Instant, until: Instant) -> bool:
        """Say whether there is an event with `since <= t <= until`; most often the last one tells."""
        instants = self._instants
        if not instants or instants[-1] < since:
            return False
        return instants[-1] <= until or bisect_left(instants, since) < bisect_right(instants, until)

    def first_from(self, since: Instant) -> Instant | None:
        """Give the first event with `since <= t`; None if there is none."""
        instants = self._instants
        place = bisect_left(instants, since)
        return instants[place] if place < len(instants) else None

    def last_until(self, until: Instant) -> Instant | None:
        """Give the last event with `t <= until`; None if there is none."""
        instants = self._instants
        place = bisect_right(instants, until)
        return instants[place - 1] if place else None

    def evict(self, before: Instant) -> bool:
        """Forget the events with `t < before`; True if nothing is left."""
        instants = self._instants
        if instants and instants[0] < before:
            del instants[: bisect_left(instants, before)]
        return not instants


class HostWindow:
    """The receiver's answers to one host: a timeline for each status, and one of unstamped rejections."""

    __slots__ = ("_responses", "unstamped")

    def __init__(self) -> None:
        self._responses: dict[int, Timeline] = {}
        self.unstamped = Timeline()

    def add_response(self, at: Instant, status: int) -> None:
        """Add one answer with an HTTP status."""
        timeline = self._responses.get(status)
        if timeline is None:
            timeline = self._responses[status] = Timeline()
        timeline.add(at)

    def count_by_status(self, since: Instant, until: Instant) -> dict[int, int]:
        """Count the answers with `since <= t <= until` by HTTP status; a status with none is left out."""
        counts = {status: line.count(since, until) for status, line in self._responses.items()}
        return {status: count for status, count in sorted(counts.items()) if count}

    def has_class(self, status_class: int, since: Instant, until: Instant) -> bool:
        """Say whether there is an answer of a class with `since <= t <= until`: most often the first look tells."""
        # A loop rather than `any`: this is asked of every host by several detectors at each tick.
        for status, line in self._responses.items():  # noqa: SIM110
            if status // 100 == status_class and line.has(since, until):
                return True
        return False

    def has_answer(self, since: Instant, until: Instant) -> bool:
        """Say whether there is an answer of any kind with `since <= t <= until`."""
        return any(line.has(since, until) for line in self._responses.values())

    def earliest(self, classes: Sequence[int], since: Instant) -> Instant | None:
        """Give the first answer of some classes with `since <= t`; None if there is none."""
        firsts = [line.first_from(since) for status, line in self._responses.items() if status // 100 in classes]
        return min((at for at in firsts if at is not None), default=None)

    def latest(self, classes: Sequence[int], until: Instant) -> Instant | None:
        """Give the last answer of some classes with `t <= until`; None if there is none."""
        lasts = [line.last_until(until) for status, line in self._responses.items() if status // 100 in classes]
        return max((at for at in lasts if at is not None), default=None)

    def evict(self, before: Instant) -> bool:
        """Forget the events with `t < before`; True if nothing is left."""
        self.unstamped.evict(before)
        is_one_empty = False
        for timeline in self._responses.values():
            is_one_empty = timeline.evict(before) or is_one_empty
        if is_one_empty:
            self._responses = {status: timeline for status, timeline in self._responses.items() if timeline}
        return not self._responses and not self.unstamped
