"""The intervals between the uploads of a host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fleet_health.model.rhythm import BIN_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.rhythm import Rhythm

# Uploads of one minute may be in two bins.
_ONE_UPLOAD = 1


class Interval(NamedTuple):
    """The time between two uploads.

    Attributes:
        begin: The number of the bin of the first one.
        length: How many bins later the second one came, without bins in which no host could upload.
        end: The number of the bin of the second one.

    """

    begin: int
    length: int
    end: int


def intervals_between(rhythm: Rhythm, out: int, floor: int) -> list[Interval]:
    """Return the intervals longer than a number of bins, without bins in which no host could upload, oldest first."""
    text, found = f"{rhythm.bits:b}", list[Interval]()
    for match in re.finditer(f"0{{{max(floor, 1)},}}", text):
        # The character before it is the upload at which it begins.
        age, whole = len(text) - match.start(), match.end() - match.start() + 1
        length = whole - (out >> age - whole + 1 & (1 << whole - 1) - 1).bit_count()
        if length > floor:
            found.append(Interval(rhythm.newest - age, length, rhythm.newest - age + whole))
    return found


def latest_in_a_row(rhythm: Rhythm, intervals: Sequence[Interval]) -> list[Interval]:
    """Return the latest of some intervals that follow on each other up to the newest upload, the newest first."""
    latest, since = list[Interval](), rhythm.newest
    for one in reversed(intervals):
        if since - one.end > _ONE_UPLOAD:
            break
        latest.append(one)
        since = one.begin
    return latest


def histogram(rhythm: Rhythm, intervals: Sequence[Interval]) -> list[tuple[int, int]]:
    """Return a histogram of intervals by their length.

    Args:
        rhythm: The rhythm of a host.
        intervals: All of its intervals that are longer than a bin.

    Returns:
        The longest time of each class, each twice as long as the one before, and how many are in it; up to the longest.

    """
    counts = {2: rhythm.bits.bit_count() - 1 - len(intervals)}
    for one in intervals:
        up_to = max(2, 1 << (one.length - 1).bit_length())
        counts[up_to] = counts.get(up_to, 0) + 1
    classes = [1 << power for power in range(1, max(counts).bit_length())]
    return [(up_to * BIN_US, counts.get(up_to, 0)) for up_to in classes]
