"""The rhythm of each host: when it uploaded in the last four weeks, and how long a silence is usual for it.

For each host there is one bit for each bin of 7.5 minutes, counted back from its newest upload: 5,376 bits. So a
burst counts once, an upload that both sources show counts once, and what is recorded is the same in whatever order the
uploads come, and however often. Everything else is worked out from the bits when it is asked for, and depends on
nothing but them: the service after a restart, `check` and `replay` find the same limit.

The limit for a host that is silent since its newest upload:

* It is the floor if the host uploads *steadily* at this hour: on nearly all days on which it uploaded in this hour of
  the day, and in nearly all weeks in this hour of the week, no interval longer than the floor began in it; nor did one
  lately in another hour of which the same is true, for then the host may have changed its rhythm.
* Else it is the longest *usual* interval and half as much again, at most six hours more, and half an hour. Usual is an
  interval of which there is another one nearly as long on another day: a fault that happens once teaches nothing, nor
  does one that comes and goes for some hours. Of a host that is known for less than two weeks every interval is usual.
* A host that has shown nothing but intervals longer than the floor for ten hours may have changed its rhythm: it is
  not steady, and of these each is usual that has another one nearly as long among them.
* Of a host that is known for less than half a day, or of which no interval is usual, it is the floor.

Time in which no host could upload does not count: the receiver was stopped, its machine was off, or none of several
hosts uploaded at a time at which some did a week before, and on most days between.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from statistics import median_low
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fleet_health.model.instant import HOUR_US, Instant, describe
from fleet_health.model.observation import Response
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.observation import UnitState, Unstamped, Upload
    from fleet_health.model.pauses import Pause

_BINS_AN_HOUR = 8
BIN_US = HOUR_US // _BINS_AN_HOUR
"""The length of a bin."""
_DAY, _WEEK = 24 * _BINS_AN_HOUR, 7 * 24 * _BINS_AN_HOUR
_BINS = 4 * _WEEK
KEPT_US = _BINS * BIN_US
"""How far back from its newest upload a host's rhythm is known."""
_ALL = (1 << _BINS) - 1
_SIZE = _BINS // 8

_ENOUGH = _DAY // 2
ENOUGH_US = _ENOUGH * BIN_US
"""For how long a host must be known before its rhythm decides its limit, in microseconds."""
_TRUSTED = 2 * _WEEK
"""For so long a host must be known before one interval alone is taken for a fault."""
_NEARLY_AS_LONG = 0.7
_LONGER, _MOST_LONGER, _SLACK = 0.5, 6 * _BINS_AN_HOUR, 4
_DAYS, _CLEAN_DAYS, _CLEAN_WEEKS = 2, 0.9, 0.75
"""On how many days a host must have uploaded in an hour, and the share of days and of weeks in which it was steady."""
_RECENT_HOURS = 24
_ANOTHER_DAY = 20 * _BINS_AN_HOUR
# Long intervals in a row that take so long are a new rhythm. Uploads of one minute may be in two bins.
_HELD, _ONE_UPLOAD = 10 * _BINS_AN_HOUR, 1
_LONG = _BINS_AN_HOUR // 2
# In two weeks it is that of most days of four weeks, and some of these may be missing.
_NEW = 3 * _WEEK
# For so long nobody must have uploaded for an outage; a fleet of which somebody uploads at most every so often is
# active all the time.
_OUTAGE, _APART = 3, 2
_MOST_DAYS = 4
_REFUSED = 300

_PART = 2 * _BINS_AN_HOUR
PART_US = _PART * BIN_US
"""The length of the parts in which a day is compared with those before."""
_COMPARED_EVERY_US = HOUR_US // 2
_PARTS_A_DAY, _LATE_PARTS = _DAY // _PART, 3
_LEAST_DAYS = 5
"""On so many days before a host must have uploaded in a part of the day for it to have a usual count."""
_BITS_OF_BYTE = bytes(number.bit_count() for number in range(256))


class Rhythm(NamedTuple):
    """When a host uploaded.

    Attributes:
        newest: The number of the bin of its newest upload, counted from the epoch.
        bits: The lowest bit stands for that bin, the next one for the bin before.

    """

    newest: int
    bits: int

    @property
    def known_us(self) -> int:
        """How long ago its oldest upload was when it uploaded last, in microseconds."""
        return (self.bits.bit_length() - 1) * BIN_US


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


class SavedRhythm(msgspec.Struct, array_like=True):
    """A `Rhythm` as it is saved.

    Attributes:
        newest: As there.
        bits: The bits, the lowest first, compressed: 700 bytes at most.

    """

    newest: int
    bits: bytes

    def restored(self) -> Rhythm | None:
        """Return the rhythm; None if the data is invalid."""
        try:
            bits = zlib.decompressobj().decompress(self.bits, _SIZE + 1)
        except zlib.error:
            return None
        value = int.from_bytes(bits, "little")
        is_right = len(bits) <= _SIZE and value & 1 and self.newest >= 0
        return Rhythm(self.newest, value) if is_right else None


class CadenceSnapshot(msgspec.Struct):
    """The part of the rhythms that is saved.

    Attributes:
        until: Up to when every upload is in it.
        hosts: The rhythm of each host.
        outages: When no host could upload; None if no outage is known.

    """

    until: Instant = 0
    hosts: dict[str, SavedRhythm] = {}
    outages: SavedRhythm | None = None


class Cadence:
    """The rhythms of all hosts."""

    def __init__(self, limit: int, ignored: HostGlobs | None = None) -> None:
        """Begin without any.

        Args:
            limit: Of how many hosts they are kept; for some time of twice as many, and of others none is.
            ignored: Hosts whose rhythms are not kept.

        """
        self.limit = limit
        self._ignored = ignored
        self.is_settled = False
        """Whether there was an evaluation by these rhythms, also by a service before this one."""
        self._rhythms: dict[str, Rhythm] = {}
        self._outages = Rhythm(0, 0)
        self._known: dict[str, tuple[Rhythm, int, int, int, LearnedLimit]] = {}
        self._days: dict[str, tuple[Rhythm, int, Instant, ComparedDay]] = {}

    def __len__(self) -> int:
        return len(self._rhythms)

    def record(self, uploads: Iterable[Upload]) -> None:
        """Record accepted uploads."""
        for upload in uploads:
            self.note(upload.host, upload.at)

    def record_traffic(
        self, observations: Iterable[Response | Unstamped | UnitState], is_in_index: Callable[[str], bool]
    ) -> None:
        """Record the accepted uploads among what a journal shows, of hosts that no index shows.

        An upload that both show is recorded by its row alone: a response a second later may be in another bin.
        """
        for one in observations:
            if type(one) is Response and one.status < _REFUSED and not is_in_index(one.host):
                self.note(one.host, one.at)

    def note(self, host: str, at: Instant) -> None:
        """Record an accepted upload."""
        known, number = self._rhythms.get(host), at // BIN_US
        if known is None:
            if len(self._rhythms) < 2 * self.limit and (self._ignored is None or not self._ignored.matches(host)):
                self._rhythms[host] = Rhythm(number, 1)
        elif known.newest != number:
            self._rhythms[host] = _with(known, number)

    def note_outages(self, pauses: Iterable[Pause]) -> None:
        """Record stretches of time in which no host could upload."""
        outages = self._outages
        for pause in pauses:
            first, end = -(-pause.since // BIN_US), pause.until // BIN_US
            if not pause.is_known or end <= first:
                continue
            newest = max(outages.newest, end - 1)
            kept = outages.bits << min(newest - outages.newest, _BINS)
            new = ((1 << min(end - first, _BINS)) - 1) << min(newest - end + 1, _BINS)
            outages = Rhythm(newest, (kept | new) & _ALL)
        self._outages = outages

    def rhythm(self, host: str) -> Rhythm | None:
        """Return the rhythm of a host; None if nothing is known of it."""
        return self._rhythms.get(host)

    def hosts(self) -> Iterator[str]:
        """Return each host with a rhythm."""
        yield from self._rhythms

    def merge(self, other: Cadence) -> None:
        """Merge the rhythms of another table into this one."""
        for host, rhythm in other._rhythms.items():
            known = self._rhythms.get(host)
            self._rhythms[host] = rhythm if known is None else _joined(known, rhythm)
        if other._outages.bits:
            self._outages = _joined(self._outages, other._outages) if self._outages.bits else other._outages

    def prune(self, is_known: Callable[[str], bool], now: Instant) -> None:
        """Forget what is too long ago, and what is dated ahead of the clock, which was wrong at that time.

        A host that comes back has its rhythm as if it had never been away; only if there are too many, those go first
        that are known no more.
        """
        first, latest = (now - KEPT_US) // BIN_US, (now + HOUR_US) // BIN_US
        # A new dictionary, because another thread may be reading the old one.
        kept = {host: rhythm for host, rhythm in self._rhythms.items() if rhythm.newest > first}
        if len(kept) > self.limit:
            kept = {host: rhythm for host, rhythm in kept.items() if is_known(host)}
        kept = {host: _up_to(rhythm, latest) for host, rhythm in kept.items()}
        self._rhythms = {host: rhythm for host, rhythm in kept.items() if rhythm.bits}
        self._known = {host: known for host, known in self._known.items() if host in self._rhythms}
        self._days = {host: known for host, known in self._days.items() if host in self._rhythms}

    def snapshot(self, until: Instant) -> CadenceSnapshot:
        """Return what `restore` needs to go on from here."""
        outages = _saved(self._outages) if self._outages.bits else None
        return CadenceSnapshot(until, {host: _saved(one) for host, one in self._rhythms.items()}, outages)

    def restore(self, snapshot: CadenceSnapshot) -> None:
        """Restore a snapshot, without invalid parts."""
        restored = ((host, one.restored()) for host, one in snapshot.hosts.items())
        other = Cadence(self.limit)
        other._rhythms = {host: one for host, one in restored if one is not None}
        self.is_settled |= bool(snapshot.until)
        if snapshot.outages is not None and (outages := snapshot.outages.restored()) is not None:
            other._outages = outages
        self.merge(other)

    def outages(self) -> Rhythm:
        """Return the bins in which no host could upload, as far as that is known, in the form of a rhythm.

        In such a stretch no host uploaded, though some did at that time a week before and on most days between. If
        there is only one host, its silence says nothing about the receiver.
        """
        rhythms = self._rhythms.values()
        newest = max((one.newest for one in rhythms), default=0)
        active = reduce(or_, (one.bits << min(newest - one.newest, 2 * _BINS) for one in rhythms), 0)
        about = reduce(or_, (active << ahead >> _APART for ahead in range(2 * _APART + 1)))
        quiet = about >> _WEEK & _on_most_days(about) & ~active if len(rhythms) > 1 else 0
        # Only what lasts.
        begun = reduce(and_, (quiet >> later for later in range(_OUTAGE)))
        lasting = reduce(or_, (begun << later for later in range(_OUTAGE)))
        known = self._outages
        if known.newest > newest:
            return Rhythm(newest, lasting | known.bits >> min(known.newest - newest, _BINS))
        return Rhythm(newest, lasting | known.bits << min(newest - known.newest, 2 * _BINS))

    def limit_of(self, host: str, outages: Rhythm, floor_us: int, ceiling_us: int) -> LearnedLimit:
        """Return how long a host may be silent since its newest upload.

        Args:
            host: The host.
            outages: The bins in which no host could upload, from `outages`.
            floor_us: The shortest limit, in microseconds.
            ceiling_us: The longest one.

        """
        rhythm = self._rhythms.get(host)
        if rhythm is None:
            return LearnedLimit(floor_us, 0, None, "nothing is known of its rhythm yet", is_known=False)
        out = _seen_from(rhythm.newest, outages)
        known = self._known.get(host)
        if known is not None and known[0] == rhythm and known[1:4] == (hash(out), floor_us, ceiling_us):
            return known[4]
        limit = learned_limit(rhythm, out, floor_us, ceiling_us)
        self._known[host] = rhythm, hash(out), floor_us, ceiling_us, limit
        return limit

    def compared_day(self, host: str, outages: Rhythm, now: Instant) -> ComparedDay:
        """Return how much a host uploaded in the 24 hours up to the latest half hour, and how much is usual."""
        rhythm = self._rhythms.get(host)
        now -= now % _COMPARED_EVERY_US
        if rhythm is None or not (past := _up_to(rhythm, now // BIN_US - 1)).bits:
            return NOT_COMPARED
        out = _seen_from(past.newest, outages)
        known = self._days.get(host)
        if known is not None and known[:3] == (past, hash(out), now):
            return known[3]
        day = compared_day(past, out, now)
        self._days[host] = past, hash(out), now, day
        return day

    def share_of_usual(self, host: str, length_us: int) -> float:
        """Return how much a host uploaded up to its newest upload, compared with the days before. See there."""
        rhythm = self._rhythms.get(host)
        return 1.0 if rhythm is None else share_of_usual(rhythm, length_us)

    def intervals_of(self, host: str, outages: Rhythm, least_us: int = BIN_US) -> list[Interval]:
        """Return the intervals of a host that were longer than a time, the oldest first."""
        rhythm = self._rhythms.get(host)
        if rhythm is None:
            return []
        return _intervals(rhythm, _seen_from(rhythm.newest, outages), least_us // BIN_US)


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


def learned_limit(rhythm: Rhythm, out: int, floor_us: int, ceiling_us: int) -> LearnedLimit:
    """Return how long a host with a rhythm may be silent since its newest upload.

    Args:
        rhythm: The rhythm.
        out: The bins in which no host could upload, counted back from its newest one.
        floor_us: The shortest limit, in microseconds.
        ceiling_us: The longest one.

    """
    intervals = _intervals(rhythm, out, floor_us // BIN_US)

    def limited(limit_us: int, reason: str, *, usual_us: int | None = None, is_known: bool = True) -> LearnedLimit:
        return LearnedLimit(limit_us, len(intervals), usual_us, reason, is_known)

    known = rhythm.bits.bit_length() - 1
    if known < _ENOUGH:
        return limited(floor_us, "it is known for less than half a day", is_known=False)
    if not intervals:
        return limited(floor_us, "none of its intervals was longer")
    present = _present_usual(rhythm, intervals)
    if present is None and _Hours(rhythm, intervals).are_steady():
        return limited(floor_us, "it uploads steadily at this hour")
    usual_us = max(usual_interval_us(rhythm, intervals) or 0, (present or 0) * BIN_US)
    if not usual_us:
        return limited(floor_us, "no two of its long intervals are alike")
    limit_us = min(max(floor_us, limit_by(usual_us)), max(floor_us, ceiling_us))
    return limited(limit_us, "the longest usual one and half as much again", usual_us=usual_us)


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
    if later >= _DAY:
        return NOT_COMPARED
    uploaded, outage = _by_part(rhythm.bits, later), _by_part(out, later)
    parts = bins = usual = late_bins = late_usual = 0
    for part in range(_PARTS_A_DAY):
        present = 0 if outage[part] else uploaded[part]
        before = range(part + _PARTS_A_DAY, len(uploaded) if present else 0, _PARTS_A_DAY)
        counts = [uploaded[one] for one in before if uploaded[one] and not outage[one]]
        if len(counts) >= _LEAST_DAYS:
            parts, bins, usual = parts + 1, bins + present, usual + median_low(counts)
        if part == _LATE_PARTS - 1:
            late_bins, late_usual = bins, usual
    day = ComparedDay(parts, bins, usual, late_bins, late_usual)
    return NOT_COMPARED if bins < usual and _has_changed_lately(rhythm, out) else day


def share_of_usual(rhythm: Rhythm, length_us: int) -> float:
    """Return how much a host uploaded in a stretch of time up to its newest upload, as a share of what is usual then.

    Args:
        rhythm: The rhythm.
        length_us: The length of the stretch, in microseconds.

    Returns:
        The share of the median of the days before on which it uploaded at that time; 1 if there are too few.

    """
    stretch = (1 << length_us // BIN_US) - 1
    counts = [count for day in range(_DAY, _BINS, _DAY) if (count := (rhythm.bits >> day & stretch).bit_count())]
    return (rhythm.bits & stretch).bit_count() / median_low(counts) if len(counts) >= _LEAST_DAYS else 1.0


def _has_changed_lately(rhythm: Rhythm, out: int) -> bool:
    """Return whether a host has had another rhythm until lately: since then there have been only long intervals."""
    latest = _latest_in_a_row(rhythm, _intervals(rhythm, out, _LONG))
    lasted = rhythm.newest - latest[-1].begin if latest else 0
    return _HELD <= lasted < min(rhythm.bits.bit_length() - 1, _NEW)


def _by_part(bits: int, later: int) -> list[int]:
    """Count the bits in each part of two hours, the latest first; the first bit stands so many bins before the end."""
    moved = (bits << later if later >= 0 else bits >> -later) & _ALL
    counts = moved.to_bytes(_SIZE, "little").translate(_BITS_OF_BYTE)
    return [one + other for one, other in zip(counts[::2], counts[1::2], strict=True)]


def usual_interval_us(rhythm: Rhythm, intervals: Iterable[Interval]) -> int | None:
    """Return the longest usual interval of some of a host's, in microseconds; None if none is usual."""
    if rhythm.bits.bit_length() <= _TRUSTED:
        usual = max((one.length for one in intervals), default=None)
    else:
        usual = _longest_usual(intervals, _ANOTHER_DAY)
    return None if usual is None else usual * BIN_US


def limit_by(usual_us: int) -> int:
    """Return the limit for a longest usual interval, both in microseconds."""
    usual = usual_us // BIN_US
    return (usual + min(int(usual * _LONGER), _MOST_LONGER) + _SLACK) * BIN_US


class _Hours:
    """In which hours a host uploads steadily."""

    def __init__(self, rhythm: Rhythm, intervals: Iterable[Interval]) -> None:
        self._now = rhythm.newest // _BINS_AN_HOUR
        bits = rhythm.bits << _BINS_AN_HOUR - 1 - rhythm.newest % _BINS_AN_HOUR
        # One byte an hour, the present one first.
        self._hours = bits.to_bytes(-(-bits.bit_length() // 8), "little")
        self._begun = {one.begin // _BINS_AN_HOUR for one in intervals}

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


def _intervals(rhythm: Rhythm, out: int, floor: int) -> list[Interval]:
    """Return the intervals longer than a number of bins, without bins in which no host could upload, oldest first."""
    text, found = f"{rhythm.bits:b}", list[Interval]()
    for match in re.finditer(f"0{{{max(floor, 1)},}}", text):
        # The character before it is the upload that it follows on.
        age, whole = len(text) - match.start(), match.end() - match.start() + 1
        length = whole - (out >> age - whole + 1 & (1 << whole - 1) - 1).bit_count()
        if length > floor:
            found.append(Interval(rhythm.newest - age, length, rhythm.newest - age + whole))
    return found


def _longest_usual(intervals: Iterable[Interval], apart: int) -> int | None:
    """Return the longest of some intervals that has another one nearly as long, at least a number of bins apart.

    Returns:
        Its length in bins; None if there is none.

    """
    longest_first = sorted(intervals, key=lambda one: -one.length)
    for place, one in enumerate(longest_first):
        for other in longest_first[place + 1 :]:
            if other.length < _NEARLY_AS_LONG * one.length:
                break
            if abs(other.begin - one.begin) >= apart:
                return one.length
    return None


def _present_usual(rhythm: Rhythm, intervals: Sequence[Interval]) -> int | None:
    """Return the longest usual interval of the latest ones, if there were none but long ones for some hours; else None.

    A host that has changed its rhythm for good shows nothing else. One that was away, and is back, uploads between.
    """
    latest = _latest_in_a_row(rhythm, intervals)
    has_held = bool(latest) and rhythm.newest - latest[-1].begin >= _HELD
    return _longest_usual(latest, 0) if has_held else None


def _latest_in_a_row(rhythm: Rhythm, intervals: Sequence[Interval]) -> list[Interval]:
    """Return the latest of some intervals that follow on each other up to the newest upload, the newest first."""
    latest, since = list[Interval](), rhythm.newest
    for one in reversed(intervals):
        if since - one.end > _ONE_UPLOAD:
            break
        latest.append(one)
        since = one.begin
    return latest


def _on_most_days(active: int) -> int:
    """Return the bins that are set on most of the seven days before: the sums are computed bit by bit."""
    ones = twos = fours = 0
    for day in range(1, 8):
        added = active >> day * _DAY
        ones, carried = ones ^ added, ones & added
        twos, carried = twos ^ carried, twos & carried
        fours |= carried
    assert _MOST_DAYS == 1 << 2  # noqa: S101 - of a sum up to 7 the highest bit says so
    return fours


def _with(rhythm: Rhythm, number: int) -> Rhythm:
    """Return a rhythm with an upload in a bin."""
    newest, bits = rhythm
    if number > newest:
        return Rhythm(number, (bits << number - newest | 1) & _ALL if number - newest < _BINS else 1)
    return Rhythm(newest, bits | 1 << newest - number) if newest - number < _BINS else rhythm


def _joined(one: Rhythm, other: Rhythm) -> Rhythm:
    newest = max(one.newest, other.newest)
    bits = (each.bits << min(newest - each.newest, _BINS) for each in (one, other))
    return Rhythm(newest, reduce(or_, bits) & _ALL)


def _up_to(rhythm: Rhythm, latest: int) -> Rhythm:
    """Return a rhythm without bins later than a given one; without any bit if nothing is left."""
    if rhythm.newest <= latest:
        return rhythm
    bits = rhythm.bits >> min(rhythm.newest - latest, _BINS)
    if not bits:
        return Rhythm(0, 0)
    age = (bits & -bits).bit_length() - 1
    return Rhythm(latest - age, bits >> age)


def _seen_from(newest: int, outages: Rhythm) -> int:
    """Return the bits of outages, counted back from another bin."""
    if outages.newest >= newest:
        return outages.bits >> outages.newest - newest & _ALL
    return outages.bits << min(newest - outages.newest, _BINS) & _ALL


def _saved(rhythm: Rhythm) -> SavedRhythm:
    bits = rhythm.bits.to_bytes(-(-rhythm.bits.bit_length() // 8), "little")
    return SavedRhythm(rhythm.newest, zlib.compress(bits, 1))
