"""When the rows of an index count: at their own time, unless that is ahead of the clock.

A row that is ahead of the clock when it is first read was dated by a wrong clock. It counts once: when it was written,
if that is known, otherwise at the time of the rows beside it. A row that came since the last look was written now, and
the last row of a file when the file was. If even the file's time is ahead, our own clock was ahead too, and all such
rows count as now.

The time at which it counts is remembered. Such a row is read again after each start, and whenever the clock is set. By
then its own time may have come, but it must not count again. An evaluation under a clock that was not set and is not
behind confirms the rows that this clock found ahead. The others are forgotten when the clock is set again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Upload
from fleet_health.model.window import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.model.instant import Instant

FUTURE_LIMIT_US = 300 * SECOND_US
"""Clocks of a receiver and its neighbour differ by less than this; a row dated further ahead is in error."""

LATE_LIMIT_US = 600 * SECOND_US
"""A receiver writes a row at once; one dated longer ago than this comes from a wrong clock, or a wrong time zone."""


def late_us(at: Instant | None, written_at: Instant | None) -> int:
    """Return by how much a row's time precedes its writing, if that is more than normal; else 0."""
    if at is None or written_at is None or written_at - at <= LATE_LIMIT_US:
        return 0
    return written_at - at


AheadRow: TypeAlias = tuple[str, int, int]
"""A row that was dated ahead: its host, its own time, and when it counts."""

MOST_AHEAD = 10_000
"""How many such rows are remembered; the latest ones if there are more."""

MOST_TO_COME = 1_000
"""How many rows are remembered that no longer matter, but whose own time is still to come."""


class RowDates:
    """Dates the rows of one pass over an index, in file order."""

    def __init__(self, known: Iterable[AheadRow] = ()) -> None:
        self._counted = {(host, at): counted_at for host, at, counted_at in known}
        self._unsure: dict[tuple[str, Instant], Instant | None] = {}
        """The rows that were found by a clock that is not confirmed yet, and when they counted before; None if new."""
        self._before: Instant = 0
        self.newest: Instant = 0
        """The latest date in any row of this reading; 0 if there was none."""

    def anew(self) -> RowDates:
        """Return the dates for another pass over the same index; both share what is remembered."""
        other = RowDates()
        other._counted, other._unsure = self._counted, self._unsure
        return other

    def by_another_clock(self) -> RowDates:
        """Return the dates for another pass over the same index, after the clock was set.

        Rows found ahead since the previous clock was last confirmed are forgotten.
        """
        return RowDates((host, at, counted_at) for (host, at), counted_at in self._sure().items())

    def confirm(self) -> None:
        """Confirm that the clock was right until now: it was not set, and contradicts no record."""
        self._unsure.clear()

    @property
    def plain_until(self) -> Instant:
        """Up to when a row certainly counts at its own time, because none that was dated ahead is earlier."""
        return min((at - 1 for _, at in self._counted), default=NEVER)

    def ahead_since(self, since: Instant) -> list[AheadRow]:
        """Return the rows that were dated ahead and count, or are dated, at an instant or later; forget the others.

        Those that were found by a clock that is not confirmed yet are left out.
        """
        known = self._sure()
        past = [row for row, counted_at in known.items() if counted_at < since]
        to_come = [row for row in past if row[1] >= since]
        for row in set(past).difference(to_come[-MOST_TO_COME:]):
            del known[row]
            self._counted.pop(row, None)
        return [(host, at, counted_at) for (host, at), counted_at in known.items()]

    def _sure(self) -> dict[tuple[str, Instant], Instant]:
        """Return row -> when it counts, for the rows found by a confirmed clock."""
        known = dict(self._counted)
        for row, before in self._unsure.items():
            known.pop(row, None)
            if before is not None:
                known[row] = before
        return known

    def date(
        self,
        rows: Sequence[Upload],
        now: Instant,
        *,
        written_at: Instant | None = None,
        is_end: bool = False,
        is_new: bool = False,
    ) -> tuple[list[Upload], int]:
        """Return some rows with the times at which they count, and how many were dated ahead.

        Args:
            rows: The rows that follow on those before.
            now: The present.
            written_at: When the file was written last; None if that is not known.
            is_end: Whether these are the last rows, so that the last one was written then.
            is_new: Whether they were written since the last look, so that none of them can be known.

        """
        newest = max((row.at for row in rows), default=0)
        self.newest, latest = max(self.newest, newest), now + FUTURE_LIMIT_US
        if newest <= latest and (is_new or newest <= self.plain_until):
            self._before = max(self._before, newest)
            return list(rows), 0
        written_at = now if written_at is None or is_new else written_at
        plain = [number for number, row in enumerate(rows) if row.at <= latest]
        first, last = (plain[0], plain[-1]) if plain else (-1, -1)
        dated: list[Upload] = []
        count = 0
        for number, row in enumerate(rows):
            known_at = None if is_new else self._counted.get((row.host, row.at))
            if known_at is not None and known_at <= now:
                dated.append(Upload(row.host, known_at))
            elif row.at <= latest:
                self._before = max(self._before, row.at)
                dated.append(row)
            else:
                count += 1
                if is_new or written_at > latest or (is_end and number > last):
                    at = written_at
                elif self._before:
                    at = self._before
                else:
                    at = rows[first].at if plain else written_at
                dated.append(Upload(row.host, min(at, now)))
                self._remember(row, min(at, now))
        return dated, count

    def _remember(self, row: Upload, counted_at: Instant) -> None:
        known = (row.host, row.at)
        before = self._counted.pop(known, None)  # so that the latest ones stand last
        self._unsure.setdefault(known, before)
        self._counted[known] = counted_at
        if len(self._counted) > MOST_AHEAD:
            oldest = next(iter(self._counted))
            del self._counted[oldest]
            self._unsure.pop(oldest, None)
