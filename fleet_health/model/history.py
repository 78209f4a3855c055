"""The past of each host in few bits: in which quarters of an hour, and in which 3 hours, it uploaded and was refused.

It is for the operator's eye; no detector uses it. It is recorded at each evaluation, from what is known then anyway, so
it costs nothing in between: of a quarter of an hour without an evaluation only the last upload is known. Every quarter
of an hour, what is known is added to the bins of 3 hours.
"""

from __future__ import annotations

from functools import lru_cache
from heapq import nlargest
from typing import TYPE_CHECKING

import msgspec

from fleet_health.model.instant import Instant  # noqa: TC001 - msgspec needs it at run time
from fleet_health.model.strip import BIN_US, BINS, BOTH, LONG_BIN_US, LONG_BINS, NOTHING, REFUSED, UNSEEN, UPLOADED
from fleet_health.model.window import CLIENT_ERROR, SERVER_ERROR

if TYPE_CHECKING:
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.window import HostWindow


class HistorySnapshot(msgspec.Struct):
    """The part of a history that is saved. In each set of bits the lowest one stands for the latest bin.

    Attributes:
        noted_at: The latest evaluation in it; None for none.
        watched: Which bins were watched.
        marks: Host -> in which bins it uploaded, and `BINS` higher those in which it was refused.
        long_watched: Which long bins were watched, without what `watched` shows.
        long_marks: Host -> the same as `marks` for the long bins, with `LONG_BINS`, without what `marks` shows.

    """

    noted_at: Instant | None = None
    watched: int = 0
    marks: dict[str, int] = {}
    long_watched: int = 0
    long_marks: dict[str, int] = {}


class History:
    """Remembers the bins of each host that did anything in them."""

    def __init__(self, snapshot: HistorySnapshot | None = None) -> None:
        self.snapshot = snapshot or HistorySnapshot()
        """All that is known; another one after each evaluation, so that any thread may read this one."""

    def note(self, fleet: Fleet, now: Instant, known_since: Instant) -> None:
        """Record what is known at an evaluation.

        Args:
            fleet: The fleet.
            now: The instant of the evaluation.
            known_since: Since when the receiver's responses are known.

        """
        known = self.snapshot
        if known.noted_at is not None and _age(known.noted_at, now) < 0:  # by a clock that was wrong
            known = HistorySnapshot()
        since = known_since if known.noted_at is None else max(known_since, known.noted_at + 1)
        known = _moved_to(known, now)
        marks = _of_somebody(known.marks, fleet, BINS)
        for host, last_at in fleet.latest_uploads():
            if 0 <= (age := _age(last_at, now)) < BINS:
                marks[host] = marks.get(host, 0) | 1 << age
        for host, window in fleet.traffic.items():
            if bits := _refusals(window, since, now):
                marks[host] = marks.get(host, 0) | bits << BINS
        self.snapshot = HistorySnapshot(
            now,
            known.watched | _bits_since(since, now),
            _shared(marks),
            known.long_watched,
            _of_somebody(known.long_marks, fleet, LONG_BINS),
        )


def strip_of(snapshot: HistorySnapshot, host: str) -> str:
    """Return one character for each bin of a host, the oldest first."""
    return _strip(snapshot.marks.get(host, 0), snapshot.watched, BINS)


def long_strip_of(snapshot: HistorySnapshot, host: str) -> str:
    """Return one character for each long bin of a host, the oldest first."""
    folded = _folded(_only(snapshot, host))
    return _strip(folded.long_marks.get(host, 0), folded.long_watched, LONG_BINS)


def strip_at(snapshot: HistorySnapshot, fleet: Fleet, host: str, now: Instant) -> str:
    """Return the strip of a host as `History.note` would have it now, without waiting for the next evaluation."""
    present = _present(snapshot, fleet, host, now)
    return strip_of(snapshot, host) if present is None else _strip(*present, BINS)


def long_strip_at(snapshot: HistorySnapshot, fleet: Fleet, host: str, now: Instant) -> str:
    """Return the long strip of a host as `History.note` would have it now."""
    present = _present(snapshot, fleet, host, now)
    if present is None:
        return long_strip_of(snapshot, host)
    known, (bits, watched) = _moved_to(_only(snapshot, host), now), present
    return long_strip_of(HistorySnapshot(now, watched, {host: bits}, known.long_watched, known.long_marks), host)


def _present(snapshot: HistorySnapshot, fleet: Fleet, host: str, now: Instant) -> tuple[int, int] | None:
    """Return the marks of a host and which bins were watched, as of now; None if nothing is known, or only later."""
    noted_at = snapshot.noted_at
    if noted_at is None or (shift := _age(noted_at, now)) < 0:
        return None
    bits = _shifted({host: snapshot.marks.get(host, 0)}, shift, BINS).get(host, 0)
    if (last_at := fleet.accepted_at(host)) is not None and 0 <= (age := _age(last_at, now)) < BINS:
        bits |= 1 << age
    if (window := fleet.traffic.window(host)) is not None:
        bits |= _refusals(window, noted_at + 1, now) << BINS
    return bits, _cut(snapshot.watched << min(shift, BINS), BINS) | _bits_since(noted_at + 1, now)


def _only(snapshot: HistorySnapshot, host: str) -> HistorySnapshot:
    """Return the history of one host."""
    marks, long_marks = ({host: of_each.get(host, 0)} for of_each in (snapshot.marks, snapshot.long_marks))
    return HistorySnapshot(snapshot.noted_at, snapshot.watched, marks, snapshot.long_watched, long_marks)


def _moved_to(known: HistorySnapshot, now: Instant) -> HistorySnapshot:
    """Return a history with its bins counted from an instant, which is not before its latest evaluation."""
    shift = 0 if known.noted_at is None else _age(known.noted_at, now)
    if known.noted_at is None or not shift:
        return HistorySnapshot(now, known.watched, dict(known.marks), known.long_watched, dict(known.long_marks))
    folded, long_shift = _folded(known), _long_age(known.noted_at, now)
    return HistorySnapshot(
        now,
        _cut(folded.watched << min(shift, BINS), BINS),
        _shifted(folded.marks, shift, BINS),
        _cut(folded.long_watched << min(long_shift, LONG_BINS), LONG_BINS),
        _shifted(folded.long_marks, long_shift, LONG_BINS),
    )


def _folded(known: HistorySnapshot) -> HistorySnapshot:
    """Return a history in which the long bins include what the bins show."""
    if known.noted_at is None:
        return known
    within: dict[int, int] = {}  # age of a long bin -> which bins are in it
    for age in range(BINS):
        long_age = _long_age((known.noted_at // BIN_US - age) * BIN_US, known.noted_at)
        within[long_age] = within.get(long_age, 0) | 1 << age

    def longer(bits: int) -> int:
        return sum(1 << long_age for long_age, bins in within.items() if bits & bins)

    long_marks = dict(known.long_marks)
    for host, bits in known.marks.items():
        long_marks[host] = long_marks.get(host, 0) | longer(_cut(bits, BINS)) | longer(bits >> BINS) << LONG_BINS
    long_watched = known.long_watched | longer(known.watched)
    return HistorySnapshot(known.noted_at, known.watched, known.marks, long_watched, _shared(long_marks))


@lru_cache(maxsize=1_024)  # most hosts of a fleet do alike
def _strip(bits: int, watched: int, bins: int) -> str:
    uploaded, refused = _cut(bits, bins), bits >> bins
    characters = []
    for age in reversed(range(bins)):
        bit = 1 << age
        if uploaded & bit:
            characters.append(BOTH if refused & bit else UPLOADED)
        elif refused & bit:
            characters.append(REFUSED)
        else:
            characters.append(NOTHING if watched & bit else UNSEEN)
    return "".join(characters)


def _shared(marks: dict[str, int]) -> dict[str, int]:
    """Let hosts with the same marks share one number: otherwise it would be half of what a host costs here."""
    numbers: dict[int, int] = {}
    return {host: numbers.setdefault(bits, bits) for host, bits in marks.items()}


def _shifted(marks: dict[str, int], shift: int, bins: int) -> dict[str, int]:
    kept = _cut(-1, bins) >> shift
    kept |= kept << bins
    return {host: (bits & kept) << shift for host, bits in marks.items() if bits & kept}


def _cut(bits: int, bins: int) -> int:
    """Return the lowest bits, as many as there are bins."""
    return bits & ((1 << bins) - 1)


def _of_somebody(marks: dict[str, int], fleet: Fleet, bins: int) -> dict[str, int]:
    """Leave out the hosts that are no longer known; names may come and go without end.

    Of these, those with the latest mark stay, up to as many as strangers have places.
    """
    gone = [host for host in marks if not fleet.has_place(host)]
    if len(gone) > (limit := fleet.traffic.stranger_limit):
        for host in nlargest(len(gone) - limit, gone, key=lambda host: _last_age(marks[host], bins)):
            del marks[host]
    return marks


def _last_age(bits: int, bins: int) -> int:
    """Return the age of the latest bin in which something happened."""
    happened = _cut(bits | bits >> bins, bins)
    return (happened & -happened).bit_length()


def _age(at: Instant, now: Instant) -> int:
    return now // BIN_US - at // BIN_US


def _long_age(at: Instant, now: Instant) -> int:
    return now // LONG_BIN_US - at // LONG_BIN_US


def _bits_since(since: Instant, now: Instant) -> int:
    return (1 << min(BINS, _age(since, now) + 1)) - 1


def _refusals(window: HostWindow, since: Instant, now: Instant) -> int:
    bits = 0
    while (at := window.earliest((CLIENT_ERROR, SERVER_ERROR), since)) is not None and at <= now:
        bits |= 1 << _age(at, now)
        since = (at // BIN_US + 1) * BIN_US
    return _cut(bits, BINS)
