"""When the receiver's unit started and stopped, as far back as anybody asks."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from fleet_health.model.pauses import RECEIVER_STARTED, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState

_MOST_STATES = 1_000


class UnitHistory:
    """The starts and stops of the receiver's unit."""

    __slots__ = ("_states", "seen_until")

    def __init__(self) -> None:
        self._states: list[tuple[Instant, bool]] = []
        self.seen_until: Instant = 0
        """Up to when the journal was read before this process; 0 if it never was, or that is not known."""

    def record(self, state: UnitState) -> None:
        """Record a report of systemd. One that is read again is already known.

        If the receiver runs since an instant, no stop after that was one of all its units: that was not known yet, for
        the messages of another machine came late.
        """
        word = state.at, state.is_running
        place = bisect_left(self._states, word)
        if self._states[place : place + 1] != [word]:
            self._states.insert(place, word)
        if state.is_running:
            self._states[place + 1 :] = [one for one in self._states[place + 1 :] if one[1]]
        del self._states[:-_MOST_STATES]

    def adopt(self, other: UnitHistory, latest: Instant) -> None:
        """Take over what another one knows, before anything is recorded here.

        States that are dated later than `latest` come from a clock that was ahead, and count as of then: a start that
        is still to come would excuse every absence until its time.
        """
        self._states = [(min(at, latest), is_running) for at, is_running in other._states]
        self.seen_until = min(other.seen_until, latest)

    def starts_after(self, at: Instant, now: Instant) -> list[Instant]:
        """Return the starts with `at < t <= now`, in order."""
        return [one for one, is_running in self._states if is_running and at < one <= now]

    def stopped_at(self) -> Instant | None:
        """Return when the unit first stopped since its latest start; None if it runs, or nothing is known of it."""
        first: Instant | None = None
        for at, is_running in reversed(self._states):
            if is_running:
                break
            first = at
        return first

    def pauses(self, sign_before: Callable[[Instant], Instant | None]) -> Iterator[Pause]:
        """Return the spans that ended with a start, in order.

        Each begins when the unit stopped. Where systemd had no time for that word, as in a power cut, it begins with
        the last sign of the receiver.

        Args:
            sign_before: Returns the last sign of the receiver before an instant, if one is known.

        """
        stopped_at: Instant | None = None
        before: Instant = 0
        for at, is_running in self._states:
            if not is_running:
                stopped_at = at if stopped_at is None else stopped_at
                before = at
                continue
            is_known = stopped_at is not None
            if stopped_at is None:
                read_until = self.seen_until if self.seen_until < at else 0
                stopped_at = max(before, read_until, sign_before(at) or 0)
            yield Pause(stopped_at, at, RECEIVER_STARTED, is_known)
            stopped_at, before = None, at
