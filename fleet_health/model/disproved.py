"""Entries of a journal that a clock which was ahead has dated, and that a clock which is right has disproved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.model.instant import Instant

MOST_DISPROVED = 10_000
"""How many entries are remembered; the latest ones if there are more."""


class _Dated(Protocol):
    @property
    def at(self) -> Instant: ...


_T = TypeVar("_T", bound=_Dated)


class DisprovedEntries:
    """The disproved entries of one journal, known by their time in microseconds.

    They do not count, also if the journal is read again after their time has come.
    """

    def __init__(self, known: Iterable[Instant] = ()) -> None:
        self._at = dict.fromkeys(known)

    def left_out(self, observations: Iterable[_T], now: Instant, until: Instant) -> list[_T]:
        """Return some observations without those of disproved entries; remember the entries.

        Args:
            observations: The observations.
            now: The present, by a clock that is right if `until` is later.
            until: Up to when entries that are ahead of the clock are disproved.

        """
        if until <= now and not self._at:
            return list(observations)
        left = []
        for one in observations:
            if now < one.at <= until:
                self._remember(one.at)
            elif one.at not in self._at:
                left.append(one)
        return left

    def since(self, since: Instant) -> list[Instant]:
        """Return the times of the entries that are dated at an instant or later; forget the others."""
        self._at = {at: None for at in self._at if at >= since}
        return list(self._at)

    def _remember(self, at: Instant) -> None:
        self._at[at] = None
        if len(self._at) > MOST_DISPROVED:
            del self._at[next(iter(self._at))]
