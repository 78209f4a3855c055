"""How much a host uploads, compared with the days before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fleet_health.model.intervals import intervals_between, latest_in_a_row
from fleet_health.model.learned_limit import HELD
from fleet_health.model.rhythm import ALL_BINS, BIN_US, BINS, BINS_AN_HOUR, DAY, SIZE, WEEK

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant
    from fleet_health.model.rhythm import Rhythm

_PART = 2 * BINS_AN_HOUR
PART_US = _PART * BIN_US
"""The length of the parts in which a day is compared with those before."""
_PARTS_A_DAY, _LATE_PARTS = DAY // _PART, 3
_LEAST_DAYS = 5
"""On so many days before a host must have uploaded in a part of the day for it to have a usual count."""
_LONG = BINS_AN_HOUR // 2
# In two weeks it is that of most days of four weeks, and some of these may be missing.
_NEW = 3 * WEEK
_BITS_OF_BYTE = bytes(number.bit_count() for number in range(256))


class ComparedDay(NamedTuple):
    """How much a host uploaded in the last 24 hours, compared with its usual uploads.

    Compared are the parts of two hours in which it uploaded, on this day and on enough days before.

    Attributes:
        parts: How many parts are compared.
        bins: In how many bins of them it uploaded.
        usual: In how many it does usually: the sum of the medians of each part.
        late_bins: In how many bins of the last six hours it uploaded, of those that are compared.
        late_usual: In how many of them it does usually.

    """

    parts: int
    bins: int
    usual: int
    late_bins: int
    late_usual: int


NOT_COMPARED = ComparedDay(0, 0, 0, 0, 0)


def compared_day(rhythm: Rhythm, out: int, now: Instant) -> ComparedDay:
    """Return how much a host uploaded in the 24 hours up to an instant, compared with its usual uploads.

    A part in which nothing was uploaded is for the limit of silence: a host that was away for half a day and is back is
    not slow. Parts in which no host could upload are not compared, nor is a rhythm that has recently changed for good.

    Args:
        rhythm: The rhythm.
        out: The bins in which no host could upload, counted back from its newest one.
        now: The instant; its own bin, which is not over, does not count.

    """
    later = now // BIN_US - 1 - rhythm.newest
    if later >= DAY:
        return NOT_COMPARED
    uploaded, outage = _by_part(rhythm.bits, later), _by_part(out, later)
    parts = bins = usual = late_bins = late_usual = 0
    for part in range(_PARTS_A_DAY):
        present = 0 if outage[part] else uploaded[part]
        before = range(part + _PARTS_A_DAY, len(uploaded) if present else 0, _PARTS_A_DAY)
        counts = [uploaded[one] for one in before if uploaded[one] and not outage[one]]
        if len(counts) >= _LEAST_DAYS:
            parts, bins, usual = parts + 1, bins + present, usual + _median_low(counts)
        if part == _LATE_PARTS - 1:
            late_bins, late_usual = bins, usual
    day = ComparedDay(parts, bins, usual, late_bins, late_usual)
    return NOT_COMPARED if bins < usual and _has_changed_lately(rhythm, out) else day


def share_of_usual(rhythm: Rhythm, length_us: int) -> float:
    """Return how much a host uploaded in a span of time up to its newest upload, as a share of what is usual then.

    Args:
        rhythm: The rhythm.
        length_us: The length of the span, in microseconds.

    Returns:
        The share of the median of the days before on which it uploaded at that time; 1 if there are too few.

    """
    span = (1 << length_us // BIN_US) - 1
    counts = [count for day in range(DAY, BINS, DAY) if (count := (rhythm.bits >> day & span).bit_count())]
    return (rhythm.bits & span).bit_count() / _median_low(counts) if len(counts) >= _LEAST_DAYS else 1.0


def _median_low(counts: list[int]) -> int:
    """Return the median; the lower one of the two in the middle of an even number."""
    return sorted(counts)[(len(counts) - 1) // 2]


def _has_changed_lately(rhythm: Rhythm, out: int) -> bool:
    """Return whether a host has had another rhythm until lately: since then there have been only long intervals."""
    latest = latest_in_a_row(rhythm, intervals_between(rhythm, out, _LONG))
    lasted = rhythm.newest - latest[-1].begin if latest else 0
    return HELD <= lasted < min(rhythm.bits.bit_length() - 1, _NEW)


def _by_part(bits: int, later: int) -> list[int]:
    """Count the bits in each part of two hours, the latest first; the first bit stands so many bins before the end."""
    moved = (bits << later if later >= 0 else bits >> -later) & ALL_BINS
    counts = moved.to_bytes(SIZE, "little").translate(_BITS_OF_BYTE)
    return [one + other for one, other in zip(counts[::2], counts[1::2], strict=True)]
