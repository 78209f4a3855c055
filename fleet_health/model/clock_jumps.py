"""Finds out from a journal when the clock was set: each entry has the time of two clocks, and one is never set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.clock_evidence import BEHIND_LIMIT_US

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from fleet_health.model.instant import Instant
    from fleet_health.model.pauses import Skip


class ClockJumps:
    """Finds out over which time the clock was set ahead, from entries in the order in which they were logged.

    Attributes:
        skips: The spans that the clock skipped, also while the machine was suspended.

    """

    def __init__(self) -> None:
        self.skips: list[Skip] = []
        self._offsets: dict[Hashable, int] = {}
        self._latest_at: Instant | None = None

    def is_worth_a_look(self, at: Instant) -> bool:
        """Return whether the clock may have been set before an entry; the one before it is remembered.

        The monotonic timestamp of most entries need not be read.
        """
        latest_at, self._latest_at = self._latest_at, at
        return latest_at is None or abs(at - latest_at) > BEHIND_LIMIT_US

    def look(self, at: Instant, monotonic_us: int, boot: Hashable) -> None:
        """Compare an entry's two clocks with those of the entry of this boot that was looked at before."""
        offset = at - monotonic_us
        known = self._offsets.setdefault(boot, offset)
        self._offsets[boot] = offset
        if offset - known > BEHIND_LIMIT_US:
            # As late as it can have been set: what happened before that is older.
            self.skips.append((at - (offset - known), at))
        elif known - offset > BEHIND_LIMIT_US:
            # What was skipped before it was set back does pass.
            self.skips = [(begin, min(end, at)) for begin, end in self.skips if begin < at]


def joined(known: Iterable[Skip], others: Iterable[Skip]) -> tuple[Skip, ...]:
    """Return skips that are known, and of others those that are not among them: a jump may have been seen twice."""
    skips = list(known)
    for begin, end in others:
        if all(end <= since or until <= begin for since, until in skips):
            skips.append((begin, end))
    return tuple(sorted(skips))
