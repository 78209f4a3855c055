"""The last hours of each host in few bits: in which quarters of an hour it uploaded, and in which it was refused.

It is for the operator's eye; no detector uses it. It is recorded at each evaluation, from what is known then anyway, so
it costs nothing in between: of a quarter of an hour without an evaluation only the last upload is known.
"""

from __future__ import annotations

from functools import lru_cache
from heapq import nlargest
from typing import TYPE_CHECKING

import msgspec

from fleet_health.model.instant import SECOND_US, Instant
from fleet_health.model.strip import BINS, BOTH, NOTHING, REFUSED, UNSEEN, UPLOADED
from fleet_health.model.window import CLIENT_ERROR, SERVER_ERROR

if TYPE_CHECKING:
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.window import HostWindow

BIN_US = 900 * SECOND_US
"""The length of a bin."""
_ALL = (1 << BINS) - 1


class HistorySnapshot(msgspec.Struct):
    """The part of a history that is saved. In each set of bits the lowest one stands for the latest bin.

    Attributes:
        noted_at: The latest evaluation in it; None for none.
        watched: Which bins were watched.
        marks: Host -> in which bins it uploaded, and `BINS` higher those in which it was refused.

    """

    noted_at: Instant | None = None
    watched: int = 0
    marks: dict[str, int] = {}


class History:
    """Remembers the last `BINS` bins of each host that did anything in them."""

    def __init__(self, snapshot: HistorySnapshot | None = None) -> None:
        self.snapshot = snapshot or HistorySnapshot()
        """All that is known; another one after each evaluation, so that any thread may read this one."""

    def note(self, fleet: Fleet, now: Instant, known_since: Instant) -> None:
        """Record what is known at an evaluation.

        Args:
            fleet: The fleet.
            now: The instant of the evaluation.
            known_since: Since when the receiver's answers are known.

        """
        known = self.snapshot
        if known.noted_at is not None and _age(known.noted_at, now) < 0:  # by a clock that was wrong
            known = HistorySnapshot()
        shift = 0 if known.noted_at is None else _age(known.noted_at, now)
        since = known_since if known.noted_at is None else max(known_since, known.noted_at + 1)
        marks = _of_somebody(_shifted(known.marks, shift), fleet)
        for host, last_at in fleet.latest_uploads():
            if 0 <= (age := _age(last_at, now)) < BINS:
                marks[host] = marks.get(host, 0) | 1 << age
        for host, window in fleet.traffic.items():
            if bits := _refusals(window, since, now):
                marks[host] = marks.get(host, 0) | bits << BINS
        # Most hosts do the same: one number for all of them, or it would be the half of what a host costs here.
        shared: dict[int, int] = {}
        for host, bits in marks.items():
            marks[host] = shared.setdefault(bits, bits)
        watched = (known.watched << min(shift, BINS) | _bits_since(since, now)) & _ALL
        self.snapshot = HistorySnapshot(now, watched, marks)


def strip_of(snapshot: HistorySnapshot, host: str) -> str:
    """Return one character for each bin of a host, the oldest first."""
    return _strip(snapshot.marks.get(host, 0), snapshot.watched)


@lru_cache(maxsize=1_024)  # most hosts of a fleet do alike
def _strip(bits: int, watched: int) -> str:
    uploaded, refused = bits & _ALL, bits >> BINS
    characters = []
    for age in reversed(range(BINS)):
        bit = 1 << age
        if uploaded & bit:
            characters.append(BOTH if refused & bit else UPLOADED)
        elif refused & bit:
            characters.append(REFUSED)
        else:
            characters.append(NOTHING if watched & bit else UNSEEN)
    return "".join(characters)


def strip_at(snapshot: HistorySnapshot, fleet: Fleet, host: str, now: Instant) -> str:
    """Return the strip of a host as `History.note` would have it now, without waiting for the next evaluation."""
    noted_at = snapshot.noted_at
    if noted_at is None or (shift := _age(noted_at, now)) < 0:
        return strip_of(snapshot, host)
    bits = _shifted({host: snapshot.marks.get(host, 0)}, shift).get(host, 0)
    if (last_at := fleet.accepted_at(host)) is not None and 0 <= (age := _age(last_at, now)) < BINS:
        bits |= 1 << age
    if (window := fleet.traffic.window(host)) is not None:
        bits |= _refusals(window, noted_at + 1, now) << BINS
    watched = (snapshot.watched << min(shift, BINS) | _bits_since(noted_at + 1, now)) & _ALL
    return strip_of(HistorySnapshot(now, watched, {host: bits}), host)


def _shifted(marks: dict[str, int], shift: int) -> dict[str, int]:
    kept = _ALL >> shift
    kept |= kept << BINS
    return {host: (bits & kept) << shift for host, bits in marks.items() if bits & kept}


def _of_somebody(marks: dict[str, int], fleet: Fleet) -> dict[str, int]:
    """Leave out the hosts that are no longer known; names may come and go without end.

    Of these the ones seen last stay, up to as many as strangers have places.
    """
    gone = [host for host in marks if not fleet.has_place(host)]
    if len(gone) > (limit := fleet.traffic.stranger_limit):
        for host in nlargest(len(gone) - limit, gone, key=lambda host: _last_age(marks[host])):
            del marks[host]
    return marks


def _last_age(bits: int) -> int:
    """Return the age of the latest bin in which something happened."""
    happened = (bits | bits >> BINS) & _ALL
    return (happened & -happened).bit_length()


def _age(at: Instant, now: Instant) -> int:
    return now // BIN_US - at // BIN_US


def _bits_since(since: Instant, now: Instant) -> int:
    return (1 << min(BINS, _age(since, now) + 1)) - 1


def _refusals(window: HostWindow, since: Instant, now: Instant) -> int:
    bits = 0
    while (at := window.earliest((CLIENT_ERROR, SERVER_ERROR), since)) is not None and at <= now:
        bits |= 1 << _age(at, now)
        since = (at // BIN_US + 1) * BIN_US
    return bits & _ALL
