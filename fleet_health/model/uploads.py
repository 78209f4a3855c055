"""When each host uploaded last, as one kind of source shows it: the rows of an index, or the 2xx of a journal."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.instant import SECOND_US
from fleet_health.model.places import HOST_LIMIT, LeftOut, Register
from fleet_health.model.window import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Upload

_KEPT, _APART_US = 16, 15 * SECOND_US
"""How many of a host's latest uploads are kept, and how far apart: rows of one request come within seconds."""


class Uploads:
    """When each host last uploaded: the maximum over its uploads, in whatever order they came.

    Invented names fill neither the memory nor the place of a known host: hosts beyond the limit are left out until
    others are forgotten. A host that is expected by name, or has an open incident, always has a place; one that matches
    an expected glob has one up to twice the limit.
    """

    __slots__ = (
        "_forgotten",
        "_ignored",
        "_last_at",
        "_recent",
        "_register",
        "established",
        "left_out",
        "limit",
        "newcomers",
        "notes_newcomers",
    )

    def __init__(
        self, limit: int = HOST_LIMIT, ignored: HostGlobs | None = None, register: Register | None = None
    ) -> None:
        self._last_at: dict[str, Instant] = {}
        self._recent: dict[str, array[int]] = {}
        self._ignored = ignored or HostGlobs()
        self._register = register or Register()
        self.limit = limit
        self.left_out = LeftOut()
        self.newcomers: dict[str, Instant] = {}
        """Host that turned up for the first time while this table was kept up to date -> its first upload."""
        self.notes_newcomers = False
        """Whether a host that is not in the table is a newcomer, because the table was filled once."""
        self.established: frozenset[str] = frozenset()
        """Hosts that are not newcomers, although this table had no upload of them when it was opened."""
        self._forgotten = -NEVER

    @property
    def was_full(self) -> bool:
        """Whether a new host was left out within the time for which uploads are remembered."""
        return self.left_out.latest_at >= max(self._forgotten, 1 - NEVER)

    def record(self, uploads: Iterable[Upload]) -> None:
        """Record accepted uploads."""
        for upload in uploads:
            self.take(upload.host, upload.at)

    def take(self, host: str, at: Instant) -> None:
        """Record an accepted upload."""
        last_at = self._last_at
        known = last_at.get(host)
        if known is None:
            if self._ignored.matches(host):
                return
            if len(last_at) < self.limit or self._has_place(host):
                last_at[host] = at
                self._recent[host] = array("q", (at,))
                if self.notes_newcomers and host not in self.established:
                    self.newcomers[host] = at
                self._register.announce(host)
            else:
                self.left_out.add(host, at)
        elif known < at:
            last_at[host] = at
            recent = self._recent[host]
            if at - recent[-1] >= _APART_US:
                recent.append(at)
                if len(recent) > 2 * _KEPT:
                    del recent[:-_KEPT]
        elif at < known:
            self._take_earlier(self._recent[host], at)

    @staticmethod
    def _take_earlier(recent: array[int], at: Instant) -> None:
        """Record an upload before the last one: rows may be older than the saved state, or out of order."""
        place = bisect_left(recent, at)
        if not place and len(recent) >= _KEPT:
            return
        is_apart = (not place or at - recent[place - 1] >= _APART_US) and (
            place == len(recent) or recent[place] - at >= _APART_US
        )
        if is_apart:
            recent.insert(place, at)
            del recent[: -2 * _KEPT]

    def _has_place(self, host: str) -> bool:
        """Return whether a host has a place even if the table is full."""
        register = self._register
        return register.is_reserved(host) or (len(self._last_at) < 2 * self.limit and register.is_likely(host))

    def last_at(self, host: str) -> Instant | None:
        """Return when a host last uploaded; None if it is not known to have uploaded."""
        return self._last_at.get(host)

    def recent(self, host: str) -> Sequence[Instant]:
        """Return some of the latest uploads of a host, in order and at least 15 s apart; others are not kept."""
        return self._recent.get(host, ())

    def known_since(self, host: str) -> Instant:
        """Return since when `recent` has every upload of a host; `-NEVER` if it has the first that was recorded."""
        recent = self.recent(host)
        return -NEVER if len(recent) < _KEPT else recent[0]

    def latest(self, host: str) -> Sequence[Instant]:
        """Return some of the latest uploads of a host, as `recent` does, and its last one."""
        last_at, recent = self._last_at.get(host), self.recent(host)
        return recent if last_at is None or last_at == recent[-1] else [*recent, last_at]

    def count(self, host: str, since: Instant, until: Instant) -> int:
        """Return how many of `latest` lie between two instants, both included."""
        recent = self._recent.get(host)
        if recent is None or since > until:
            return 0
        last_at = self._last_at[host]
        is_last_in = recent[-1] < last_at and since <= last_at <= until
        # Searching for both ends would take longer than the rest; most uploads are within the span.
        begin = 0 if since <= recent[0] else bisect_left(recent, since)
        end = len(recent) if recent[-1] <= until else bisect_right(recent, until)
        return end - begin + is_last_in

    def items(self) -> Iterable[tuple[str, Instant]]:
        """Yield each host with its last upload."""
        return self._last_at.items()

    def instants(self) -> Iterator[Instant]:
        """Yield the `latest` uploads of each host.

        Last uploads do not show whether there were any in a span of time: a busy host has uploaded since.
        """
        return (at for host in self._last_at for at in self.latest(host))

    def newest_at(self) -> Instant | None:
        """Return when any host uploaded last; None if none is known."""
        return max(self._last_at.values(), default=None)

    def drop(self, hosts: Container[str]) -> None:
        """Forget some hosts."""
        self._last_at = {host: at for host, at in self._last_at.items() if host not in hosts}
        self._recent = {host: recent for host, recent in self._recent.items() if host not in hosts}
        self.newcomers = {host: at for host, at in self.newcomers.items() if host not in hosts}

    def evict(
        self, before: Instant, is_kept: Callable[[str, Instant], bool] = lambda _host, _at: False
    ) -> dict[str, Instant]:
        """Forget the hosts whose last upload was before an instant; return them, each with that upload.

        Args:
            before: The instant.
            is_kept: Returns whether such a host, with its last upload, stays all the same.

        """
        # A new dictionary, because another thread may be reading the old one.
        if gone := {host: at for host, at in self._last_at.items() if at < before and not is_kept(host, at)}:
            self.drop(gone)
        self._forgotten = max(self._forgotten, before)
        if self.newcomers:
            kept = ((host, at) for host, at in self.newcomers.items() if at >= before and host in self._last_at)
            self.newcomers = dict(kept)
        return gone
