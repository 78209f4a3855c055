"""The fleet as the sources have shown it: each host's last ship, and what the receiver answered it of late.

Two tables rather than one record a host: each is fed by one kind of source, so a source that is opened anew
(a changed path, a longer window) fills a fresh table beside the old one and replaces it when it has caught up.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from fleet_health.domain.host_globs import HostGlobs
from fleet_health.domain.observation import Response, UnitState
from fleet_health.domain.window import NEVER, HostWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fleet_health.domain.coverage import Coverage
    from fleet_health.domain.instant import Instant
    from fleet_health.domain.observation import Ship, Unstamped
    from fleet_health.domain.window import Counts


HOST_LIMIT = 10_000
"""How many hosts a table knows at most, unless told otherwise."""


@dataclass(slots=True)
class LeftOut:
    """What a full table did not take in.

    Attributes:
        count: How many observations.
        host: The host of the latest of them.
        latest_at: Its instant.

    """

    count: int = 0
    host: str = ""
    latest_at: Instant = -(1 << 63)

    def add(self, host: str, at: Instant) -> None:
        """Leave one out."""
        self.count += 1
        if at >= self.latest_at:
            self.host, self.latest_at = host, at


class Ships:
    """When each host last shipped: the maximum over its rows, in whatever order they came.

    A stream of invented names fills neither memory nor the place of a host that is known: hosts beyond the limit are
    left out until others are forgotten.
    """

    __slots__ = ("_ignored", "_last_at", "left_out", "limit")

    def __init__(self, limit: int = HOST_LIMIT, ignored: HostGlobs | None = None) -> None:
        self._last_at: dict[str, Instant] = {}
        self._ignored = ignored or HostGlobs()
        self.limit = limit
        self.left_out = LeftOut()

    def record(self, ships: Iterable[Ship]) -> None:
        """Take note of accepted uploads."""
        for ship in ships:
            self._take(ship.host, ship.at)

    def _take(self, host: str, at: Instant) -> None:
        last_at = self._last_at
        known = last_at.get(host)
        if known is None:
            if self._ignored.matches(host):
                return
            if len(last_at) < self.limit:
                last_at[host] = at
            else:
                self.left_out.add(host, at)
        elif known < at:
            last_at[host] = at

    def last_at(self, host: str) -> Instant | None:
        """Say when a host last shipped; None if it is not known to have shipped."""
        return self._last_at.get(host)

    def items(self) -> Iterable[tuple[str, Instant]]:
        """Give each host with its last ship."""
        return self._last_at.items()

    def newest_at(self) -> Instant | None:
        """Say when any host shipped last; None if none is known."""
        return max(self._last_at.values(), default=None)

    def evict(self, before: Instant) -> dict[str, Instant]:
        """Forget the hosts whose last ship was before an instant; give them, each with that ship."""
        # A new dictionary rather than fewer keys in the old one, which somebody in another thread may be reading.
        if gone := {host: at for host, at in self._last_at.items() if at < before}:
            self._last_at = {host: at for host, at in self._last_at.items() if host not in gone}
        return gone


class Traffic:
    """What the receiver answered each host: one window a host, for as many hosts as the limit allows.

    What changes is little, so nothing goes through all hosts: it is known whose oldest event is to be forgotten next,
    and whose counts are no longer those that were given last.
    """

    __slots__ = (
        "_changed",
        "_ignored",
        "_latest_at",
        "_oldest",
        "_oldest_at",
        "_totals",
        "_windows",
        "left_out",
        "limit",
        "unit",
    )

    def __init__(self, limit: int = HOST_LIMIT, ignored: HostGlobs | None = None) -> None:
        self._windows: dict[str, HostWindow] = {}
        self._ignored = ignored or HostGlobs()
        self.limit = limit
        self.left_out = LeftOut()
        self.unit: UnitState | None = None
        """Systemd's latest word on the receiver; None if it has said nothing that is known."""
        # A heap of each host's oldest event; an entry that is not its window's `due_at` is good for nothing any more.
        self._oldest: list[tuple[Instant, str]] = []
        # Of all events: none is older or later than these.
        self._oldest_at, self._latest_at = NEVER, -NEVER
        # Counts of all events, but for the hosts that have changed since.
        self._totals: dict[str, Counts] = {}
        self._changed: set[str] = set()

    def record(self, observations: Iterable[Response | Unstamped | UnitState]) -> None:
        """Take note of the receiver's answers."""
        windows, changed = self._windows, self._changed
        for observation in observations:
            if isinstance(observation, UnitState):
                if self.unit is None or self.unit.at <= observation.at:
                    self.unit = observation
                continue
            host, at = observation.host, observation.at
            window = windows.get(host)
            if window is None:
                if self._ignored.matches(host):
                    continue
                if len(windows) >= self.limit:
                    self.left_out.add(host, at)
                    continue
                window = windows[host] = HostWindow()
            if at < window.due_at:
                window.due_at = at
                heappush(self._oldest, (at, host))
            changed.add(host)
            self._latest_at = max(self._latest_at, at)
            self._oldest_at = min(self._oldest_at, at)
            if type(observation) is Response:
                window.add_response(at, observation.status)
            else:
                window.add_unstamped(at)

    def items(self) -> Iterable[tuple[str, HostWindow]]:
        """Give each host with its window."""
        return self._windows.items()

    def window(self, host: str) -> HostWindow | None:
        """Give one host's window; None if the receiver has not answered it of late."""
        return self._windows.get(host)

    def counts(self, since: Instant, until: Instant) -> Mapping[str, Counts]:
        """Count the events of each host with `since <= t <= until`; hosts without any may be left out.

        What is given is good until the next `record`, `evict` or `counts`.
        """
        windows, totals = self._windows, self._totals
        if not (since <= self._oldest_at and self._latest_at <= until):
            return {host: window.count(since, until) for host, window in windows.items()}
        for host in self._changed:
            if host in windows:
                totals[host] = windows[host].totals
            else:
                totals.pop(host, None)
        self._changed.clear()
        return totals

    def evict(self, before: Instant) -> None:
        """Forget the events before an instant, and the hosts that have none left."""
        oldest, gone = self._oldest, set[str]()
        while oldest and oldest[0][0] < before:
            at, host = oldest[0]
            window = self._windows.get(host)
            if window is None or at != window.due_at:
                heappop(oldest)
                continue
            window.evict(before)
            self._changed.add(host)
            window.due_at = window.first_at
            if window:
                heapreplace(oldest, (window.due_at, host))
            else:
                heappop(oldest)
                gone.add(host)
        self._oldest_at = max(self._oldest_at, before)
        if gone:
            # A new dictionary rather than fewer keys in the old one, which somebody in another thread may be reading.
            self._windows = {host: window for host, window in self._windows.items() if host not in gone}


class Fleet:
    """Everything known about the hosts, and how well it is known. Each attribute may be replaced whole."""

    __slots__ = ("_counts", "coverage", "lost", "ships", "traffic")

    def __init__(self, host_limit: int = HOST_LIMIT, ignored: HostGlobs | None = None) -> None:
        self.ships = Ships(host_limit, ignored)
        self.traffic = Traffic(host_limit, ignored)
        self.coverage: tuple[Coverage, ...] = ()
        self.lost: frozenset[str] = frozenset()
        """Hosts that have shipped, perhaps longer ago than ships are known."""
        self._counts: dict[tuple[Instant, Instant], Mapping[str, Counts]] | None = None

    def standing_still(self) -> Fleet:
        """Give the fleet as it is, for who asks a lot and changes nothing meanwhile: nothing is counted twice."""
        still = copy(self)
        still._counts = {}  # noqa: SLF001 - it is one of us
        return still

    def counts(self, since: Instant, until: Instant) -> Mapping[str, Counts]:
        """Count the journal's events of each host with `since <= t <= until`; hosts without any may be left out."""
        known = {} if self._counts is None else self._counts
        counts = known.get((since, until))
        if counts is None:
            counts = known[since, until] = self.traffic.counts(since, until)
        return counts

    def limit_hosts(self, limit: int) -> None:
        """Allow so many hosts from now on; those that are known stay."""
        self.ships.limit = self.traffic.limit = limit

    def is_whole(self, source: str, since: Instant, until: Instant) -> bool:
        """Say whether a source, `index` or `journal`, has shown everything between two instants, both included."""
        return all(coverage.is_whole(since, until) for coverage in self.coverage if coverage.source == source)

    def heard_at(self, host: str) -> Instant | None:
        """Return the newest sign of a host in either source, a row or a response of any kind; None without one."""
        return _newest(
            self.ships.last_at(host), None if (window := self.traffic.window(host)) is None else window.last_at
        )

    def accepted_at(self, host: str) -> Instant | None:
        """Return the newest accepted upload of a host in either source, a row or a 2xx; None without one.

        Also one that is dated ahead of the clock: it is a fact, and whoever compares it goes by its own timestamp.
        """
        window = self.traffic.window(host)
        return _newest(self.ships.last_at(host), None if window is None else window.accepted_at)

    def missing(self, source: str, since: Instant, until: Instant) -> int | None:
        """Return how many messages of a source are missing between two instants at most; None if nobody knows."""
        counts = [coverage.missing(since, until) for coverage in self.coverage if coverage.source == source]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def unseen_us(self, source: str, since: Instant, until: Instant) -> int:
        """Return how much of the time between two instants a source has not shown whole, in microseconds."""
        return max((one.unseen_us(since, until) for one in self.coverage if one.source == source), default=0)

    def has_accepted(self, host: str, since: Instant, until: Instant) -> bool:
        """Return whether either source shows an accepted upload of a host between two instants, both included."""
        last_at, window = self.ships.last_at(host), self.traffic.window(host)
        if last_at is not None and since <= last_at <= until:
            return True
        return window is not None and window.count(since, until).accepted > 0

    def hosts(self) -> Iterator[str]:
        """Give each host that is known from any source, once."""
        traffic = self.traffic
        yield from (host for host, _ in traffic.items())
        yield from (host for host, _ in self.ships.items() if traffic.window(host) is None)


def _newest(*instants: Instant | None) -> Instant | None:
    return max((at for at in instants if at is not None), default=None)
