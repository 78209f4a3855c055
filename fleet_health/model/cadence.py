"""The rhythms of all hosts, and what follows from them.

A rhythm is all that is kept of a host's uploads. Its limit, and how much it usually uploads, are worked out from the
rhythms when they are asked for, and depend on nothing but them: the service after a restart, `check` and `replay` find
the same limit. Time in which no host could upload does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fleet_health.model.instant import HOUR_US, Instant
from fleet_health.model.intervals import intervals_between
from fleet_health.model.learned_limit import LearnedLimit, learned_limit
from fleet_health.model.observation import Response
from fleet_health.model.outages import missed_until, outages_of, with_pauses
from fleet_health.model.rhythm import BIN_US, KEPT_US, Rhythm, SavedRhythm
from fleet_health.model.usual_uploads import NOT_COMPARED, ComparedDay, compared_day, share_of_usual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.intervals import Interval
    from fleet_health.model.observation import UnitState, Unstamped, Upload
    from fleet_health.model.pauses import Pause

_COMPARED_EVERY_US = HOUR_US // 2
_REFUSED = 300


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
        # The latest results, each with the hash of what it depends on: a copy of the bits would double the memory.
        self._limits: dict[str, tuple[int, LearnedLimit]] = {}
        self._days: dict[str, tuple[int, ComparedDay]] = {}

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
            self._rhythms[host] = known.with_upload(number)

    def note_outages(self, pauses: Iterable[Pause]) -> None:
        """Record spans of time in which no host could upload."""
        self._outages = with_pauses(self._outages, pauses)

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
            self._rhythms[host] = rhythm if known is None else known.joined(rhythm)
        if other._outages.bits:
            self._outages = self._outages.joined(other._outages) if self._outages.bits else other._outages

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
        kept = {host: rhythm.up_to(latest) for host, rhythm in kept.items()}
        self._rhythms = {host: rhythm for host, rhythm in kept.items() if rhythm.bits}
        self._limits = {host: known for host, known in self._limits.items() if host in self._rhythms}
        self._days = {host: known for host, known in self._days.items() if host in self._rhythms}

    def snapshot(self, until: Instant) -> CadenceSnapshot:
        """Return what `restore` needs to go on from here."""
        outages = self._outages.saved() if self._outages.bits else None
        return CadenceSnapshot(until, {host: one.saved() for host, one in self._rhythms.items()}, outages)

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
        """Return the bins in which no host could upload, as far as that is known. See `outages_of`."""
        return outages_of(self._rhythms.values(), self._outages)

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
        out = outages.seen_from(rhythm.newest)
        key, known = hash((rhythm, out, floor_us, ceiling_us)), self._limits.get(host)
        if known is None or known[0] != key:
            known = self._limits[host] = key, learned_limit(rhythm, out, floor_us, ceiling_us)
        return known[1]

    def counted_from(self, host: str, outages: Rhythm, last_at: Instant) -> Instant:
        """Return from when on the limit of a host counts that uploaded last at an instant.

        Args:
            host: The host.
            outages: The bins in which no host could upload, from `outages`.
            last_at: Its last upload.

        Returns:
            That upload; or the end of the first outage since then in which it was due. See `missed_until`.

        """
        rhythm = self._rhythms.get(host)
        end = None if rhythm is None else missed_until(rhythm, outages, self._rhythms.values())
        return last_at if end is None else max(last_at, end * BIN_US)

    def compared_day(self, host: str, outages: Rhythm, now: Instant) -> ComparedDay:
        """Return how much a host uploaded in the 24 hours up to the latest half hour, and how much is usual."""
        rhythm = self._rhythms.get(host)
        now -= now % _COMPARED_EVERY_US
        if rhythm is None or not (past := rhythm.up_to(now // BIN_US - 1)).bits:
            return NOT_COMPARED
        out = outages.seen_from(past.newest)
        key, known = hash((past, out, now)), self._days.get(host)
        if known is None or known[0] != key:
            known = self._days[host] = key, compared_day(past, out, now)
        return known[1]

    def share_of_usual(self, host: str, length_us: int) -> float:
        """Return how much a host uploaded up to its newest upload, compared with the days before. See there."""
        rhythm = self._rhythms.get(host)
        return 1.0 if rhythm is None else share_of_usual(rhythm, length_us)

    def intervals_of(self, host: str, outages: Rhythm, least_us: int = BIN_US) -> list[Interval]:
        """Return the intervals of a host that were longer than a time, the oldest first."""
        rhythm = self._rhythms.get(host)
        if rhythm is None:
            return []
        return intervals_between(rhythm, outages.seen_from(rhythm.newest), least_us // BIN_US)
