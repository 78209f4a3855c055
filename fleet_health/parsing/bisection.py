"""Bisect a file of dated lines, to find the offset from which to read all lines since an instant.

The lines are nearly in order of time, but not strictly: two uploads may finish in another order than they were stamped,
and a clock may be stepped. So a probe uses the *latest* time in a block of lines rather than one line, and searches for
an instant `SLACK_US` earlier. If a probe finds no dated line, more lines are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.instant import Instant

SLACK_US = 600 * SECOND_US
"""A line that is out of order by more than this may be missed."""

WHOLE_SIZE = 1 << 20
"""A file up to this size is read whole, which takes milliseconds and is exact for any order of lines."""

_PROBE_SIZE = 16 << 10


def entry_offset(
    read_at: Callable[[int, int], bytes],
    size: int,
    time_of: Callable[[bytes], Instant | None],
    since: Instant,
) -> int:
    """Return the offset of a line such that all earlier lines are dated before `since`.

    Args:
        read_at: Returns at most the given number of bytes (second argument) from an offset (first).
        size: The size of the file.
        time_of: Returns the time of a line; None if the line is not dated.
        since: The instant from which all lines are needed.

    """
    if size <= WHOLE_SIZE:
        return 0
    target = since - SLACK_US
    before, behind = 0, size  # lines up to `before` are too old, and lines from `behind` on are needed
    while behind - before > _PROBE_SIZE:
        middle = (before + behind) // 2
        latest = _latest_time(read_at(middle, _PROBE_SIZE), time_of)
        if latest is not None and latest < target:
            before = middle
        else:
            behind = middle
    if before == 0:
        return 0
    newline = read_at(before, _PROBE_SIZE).find(b"\n")
    return before + newline + 1 if newline >= 0 else 0


def _latest_time(block: bytes, time_of: Callable[[bytes], Instant | None]) -> Instant | None:
    # The first and the last piece may be incomplete lines.
    times = [at for line in block.split(b"\n")[1:-1] if (at := time_of(line)) is not None]
    return max(times, default=None)
