"""How long a host may be silent, by its own rhythm.

The limit for a host that is silent since its newest upload:

* It is the floor if the host uploads *steadily* at this hour: on nearly all days on which it uploaded in this hour of
  the day, and in nearly all weeks in this hour of the week, no interval longer than the floor began in it; nor did one
  lately in another hour of which the same is true, for then the host may have changed its rhythm.
* Else it is the longest *usual* interval and half as much again, at most six hours more, and 37.5 minutes. Usual is an
  interval of which there is another one nearly as long that began three days earlier or later: a fault that happens
  once teaches nothing, nor does one that comes and goes. Of a host that is known for less than two weeks every interval
  is usual.
* It is a day longer for a host that uploads on most days and has its longest usual interval when it rests for a day or
  more, such as on weekends: beside these there may be a day off.
* A host that has shown nothing but intervals longer than the floor for ten hours, of which two are alike, is not
  steady: one that was away, and is back, uploads between. It may have changed its rhythm, so for a week the longest of
  these is usual, however close together they began.
* Of a host that is known for less than half a day, or of which no interval is usual, it is the floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.model.instant import describe
from fleet_health.model.intervals import intervals_between, latest_in_a_row
from fleet_health.model.rhythm import BIN_US, BINS_AN_HOUR, DAY, WEEK
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.model.intervals import Interval
    from fleet_health.model.rhythm import Rhythm

_ENOUGH = DAY // 2
ENOUGH_US = _ENOUGH * BIN_US
"""For how long a host must be known before its rhythm decides its limit, in microseconds."""
_TRUSTED = 2 * WEEK
"""For so long a host must be known before one interval alone is taken for a fault."""
_NEARLY_AS_LONG = 0.7
_LONGER, _MOST_LONGER, _SLACK = 0.5, 6 * BINS_AN_HOUR, 4 + 1
"""By how much a limit is longer than the longest usual interval: the slack is half an hour, and the bin by which an
interval may be longer than it is counted. So a host of every hour may lose one upload."""
_DAYS, _CLEAN_DAYS, _CLEAN_WEEKS = 2, 0.9, 0.75
"""On how many days a host must have uploaded in an hour, and the share of days and of weeks in which it was steady."""
_RECENT_HOURS = 24
_APART = 3 * DAY
"""Long intervals that are alike are usual if they began so far apart: in less time they may be of one fault."""
_TIMES, _TIMES_OF_MANY, _MANY = 2, 3, 4 * 28
"""How often they must have occurred; of a host with several long intervals a day, two of them may be two faults."""
_REST, _DAY_OFF = 36 * BINS_AN_HOUR, DAY
"""How long an interval with a day of rest is at least, and how much longer one with a day off beside it may be."""
HELD = 10 * BINS_AN_HOUR
"""Long intervals in a row that take so many bins are a new rhythm."""


@dataclass(frozen=True, slots=True)
class LearnedLimit:
    """How long a host may be silent, by its own rhythm.

    Attributes:
        limit_us: The limit, in microseconds.
        intervals: How many intervals that were longer than the floor are known.
        usual_us: The longest usual interval; None if none is known, or the floor is the limit for another reason.
        reason: Why it is this one, in a few words.
        is_known: Whether enough is known of the host; else the limit is the floor.

    """

    limit_us: int
    intervals: int
    usual_us: int | None
    reason: str
    is_known: bool

    def in_words(self) -> str:
        """Return where the limit comes from, in a few words."""
        if not self.is_known:
            return f"not learned yet: {self.reason}"
        if self.usual_us is None:
            return f"learned: {self.reason}"
        return f"learned from {plural(self.intervals, 'interval')}: {self.reason} ({describe(self.usual_us)})"


def learned_limit(rhythm: Rhythm, out: int, floor_us: int, ceiling_us: int) -> LearnedLimit:
    """Return how long a host with a rhythm may be silent since its newest upload.

    Args:
        rhythm: The rhythm.
        out: The bins in which no host could upload, counted back from its newest one.
        floor_us: The shortest limit, in microseconds.
        ceiling_us: The longest one.

    """
    intervals = intervals_between(rhythm, out, floor_us // BIN_US)

    def limited(limit_us: int, reason: str, *, usual_us: int | None = None, is_known: bool = True) -> LearnedLimit:
        return LearnedLimit(limit_us, len(intervals), usual_us, reason, is_known)

    known = rhythm.bits.bit_length() - 1
    if known < _ENOUGH:
        return limited(floor_us, "it is known for less than half a day", is_known=False)
    if not intervals:
        return limited(floor_us, "none of its intervals was longer")
    latest = latest_in_a_row(rhythm, intervals)
    lasted = rhythm.newest - latest[-1].begin if latest else 0
    present = _longest_usual(latest, 0, _TIMES) if lasted >= HELD else None
    if present is None and _Hours(rhythm, intervals).are_steady():
        return limited(floor_us, "it uploads steadily at this hour")
    usual_us = usual_interval_us(rhythm, intervals) or 0
    if present is not None and lasted < WEEK:
        usual_us = max(usual_us, present * BIN_US)
    if not usual_us:
        return limited(floor_us, "no two of its long intervals are alike")
    limit_us = min(max(floor_us, limit_by(usual_us, intervals)), max(floor_us, ceiling_us))
    reason = "the longest usual one and half as much again"
    if _rests(usual_us, intervals):
        reason += ", and a day, as it rests on some days"
    return limited(limit_us, reason, usual_us=usual_us)


def usual_interval_us(rhythm: Rhythm, intervals: Sequence[Interval]) -> int | None:
    """Return the longest usual interval of some of a host's, in microseconds; None if none is usual."""
    if rhythm.bits.bit_length() <= _TRUSTED:
        usual = max((one.length for one in intervals), default=None)
    else:
        usual = _longest_usual(intervals, _APART, _TIMES if len(intervals) < _MANY else _TIMES_OF_MANY)
    return None if usual is None else usual * BIN_US


def limit_by(usual_us: int, intervals: Sequence[Interval]) -> int:
    """Return the limit for the longest usual one of a host's intervals, both in microseconds."""
    usual, day_off = usual_us // BIN_US, _DAY_OFF if _rests(usual_us, intervals) else 0
    return (usual + min(int(usual * _LONGER), _MOST_LONGER) + _SLACK + day_off) * BIN_US


def _rests(usual_us: int, intervals: Sequence[Interval]) -> bool:
    """Return whether a host uploads on most days, and has its longest usual interval when it rests for a day."""
    rests = sum(one.length >= _REST for one in intervals)
    return usual_us >= _REST * BIN_US and 2 * rests < len(intervals)


class _Hours:
    """In which hours a host uploads steadily."""

    def __init__(self, rhythm: Rhythm, intervals: Iterable[Interval]) -> None:
        self._now = rhythm.newest // BINS_AN_HOUR
        bits = rhythm.bits << BINS_AN_HOUR - 1 - rhythm.newest % BINS_AN_HOUR
        # One byte an hour, the present one first.
        self._hours = bits.to_bytes(-(-bits.bit_length() // 8), "little")
        self._begun = {one.begin // BINS_AN_HOUR for one in intervals}

    def are_steady(self) -> bool:
        """Return whether the host uploads steadily in the present hour, and has not changed its rhythm lately."""
        recent = (hour for hour in self._begun if self._now - hour < _RECENT_HOURS)
        return self._is_steady(self._now) and not any(map(self._is_steady, recent))

    def _is_steady(self, hour: int) -> bool:
        """Return whether no long interval began in an hour of the day, on the days before it that have such an hour."""
        days = clean_days = weeks = clean_weeks = 0
        for number, age in enumerate(range(self._now - hour + 24, len(self._hours), 24), start=1):
            if not self._hours[age]:
                continue
            then = self._now - age
            is_clean = then not in self._begun and then + 1 not in self._begun
            days += 1
            clean_days += is_clean
            if number % 7 == 0:
                weeks += 1
                clean_weeks += is_clean
        return days >= _DAYS and clean_days >= _CLEAN_DAYS * days and clean_weeks >= _CLEAN_WEEKS * weeks


def _longest_usual(intervals: Sequence[Interval], apart: int, times: int) -> int | None:
    """Return the longest of some intervals that, or nearly as long, there were several times.

    Args:
        intervals: The intervals.
        apart: How many bins apart two of them must have begun to count twice.
        times: How many there must be, itself among them.

    Returns:
        Its length in bins; None if there is none.

    """
    for longest in sorted({one.length for one in intervals}, reverse=True):
        alike = sorted(one.begin for one in intervals if _NEARLY_AS_LONG * longest <= one.length <= longest)
        count, since = 0, -apart
        for begin in alike:
            if begin - since >= apart:
                count, since = count + 1, begin
        if count >= times:
            return longest
    return None
