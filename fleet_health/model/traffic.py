"""The receiver's responses: one window for each known host, and for a bounded number of others."""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.observation import Response, UnitState
from fleet_health.model.places import HOST_LIMIT, Pool, Register, stranger_limit
from fleet_health.model.unit_history import UnitHistory
from fleet_health.model.uploads import Uploads
from fleet_health.model.window import CLIENT_ERROR, EXACT_EVENTS, NEVER, REFUSED, SERVER_ERROR, SUCCESS, HostWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Unstamped
    from fleet_health.model.places import LeftOut
    from fleet_health.model.window import Counts

_BUDGET = 1 << 24
"""How many numbers all windows may keep: 128 MiB. A fleet of 10,000 that uploads every ten seconds keeps 2 million."""

_ANY = (SUCCESS, CLIENT_ERROR, SERVER_ERROR)


class Traffic:
    """The windows of all hosts.

    No operation goes through all hosts: the table knows which window has the next event to forget, and which counts
    have changed since they were returned last. Only the pools are scanned as a whole.

    Attributes:
        accepted: When each host last uploaded according to the journal; kept for longer than the windows.
        strangers: The windows of hosts that have never uploaded and are not expected.
        likely: The windows of hosts that have never uploaded, but match a glob of the expected hosts.
        unit: Systemd's latest report about the receiver; None if none is known.
        unit_history: The known history of the receiver's units.

    """

    __slots__ = (
        "_added",
        "_changed",
        "_forgotten",
        "_ignored",
        "_incomplete",
        "_latest_at",
        "_oldest",
        "_oldest_at",
        "_register",
        "_totals",
        "_windows",
        "accepted",
        "likely",
        "limit",
        "strangers",
        "unit",
        "unit_history",
    )

    def __init__(
        self, limit: int = HOST_LIMIT, ignored: HostGlobs | None = None, register: Register | None = None
    ) -> None:
        self._windows: dict[str, HostWindow] = {}
        self._ignored = ignored or HostGlobs()
        self._register = register or Register()
        self.limit = limit
        self.strangers, self.likely = Pool(stranger_limit(limit)), Pool(limit)
        self.unit: UnitState | None = None
        self.unit_history = UnitHistory()
        self.accepted = Uploads(limit, ignored, self._register)
        # Known host -> up to when its events may be missing, because it lost its place as a stranger.
        self._incomplete: dict[str, Instant] = {}
        # Events before this are forgotten.
        self._forgotten = -NEVER
        # Events recorded since all windows were last measured.
        self._added = 0
        # A heap of each host's oldest event; an entry that differs from its window's `due_at` is obsolete.
        self._oldest: list[tuple[Instant, str]] = []
        # The bounds of all events.
        self._oldest_at, self._latest_at = NEVER, -NEVER
        # Counts of all events, except of hosts that have changed since.
        self._totals: dict[str, Counts] = {}
        self._changed: set[str] = set()

    @property
    def stranger_limit(self) -> int:
        """How many strangers have a place at a time."""
        return self.strangers.limit

    def latest_before(self, at: Instant) -> Instant | None:
        """Return the latest response to any host before an instant; None if none is known."""
        if at <= self._oldest_at:
            return None
        instants = (window.latest(_ANY, at - 1) for _, window in self.items())
        return max((one for one in instants if one is not None), default=None)

    @property
    def left_out(self) -> tuple[LeftOut, LeftOut]:
        """What was left out of each pool: strangers, and hosts that match a glob of the expected ones."""
        return self.strangers.left_out, self.likely.left_out

    def limit_hosts(self, limit: int) -> None:
        """Set the limit of hosts, and look up again which are known, because other hosts may be expected."""
        self.limit, self.strangers.limit, self.likely.limit = limit, stranger_limit(limit), limit
        self.accepted.limit = limit
        for pool in (self.strangers, self.likely):
            for host in list(pool.windows):
                if self._is_known(host):
                    self.admit(host)
                elif (other := self._pool_of(host)) is not pool:
                    window, until = pool.take(host)
                    other.put(host, window, until)
            self._make_room(pool, -NEVER)

    def record(self, observations: Iterable[Response | Unstamped | UnitState]) -> None:
        """Record the receiver's responses and messages."""
        windows, changed, accept, count = self._windows, self._changed, self.accepted.take, 0
        for observation in observations:
            if isinstance(observation, UnitState):
                self.unit_history.record(observation)
                self.unit = observation  # also if it is older: of a machine whose messages came late
                continue
            host, at = observation.host, observation.at
            if type(observation) is Response and observation.status < REFUSED:
                accept(host, at)
            window = windows.get(host)
            if window is None:
                window = self._place(observation)
                if window is None:
                    continue
            if at < window.due_at:
                window.due_at = at
                heappush(self._oldest, (at, host))
                self._oldest_at = min(self._oldest_at, at)
            changed.add(host)
            if at > self._latest_at:  # noqa: PLR1730 - as good as always; a call of max() takes a tenth of all this
                self._latest_at = at
            count += 1
            if type(observation) is Response:
                window.add_response(at, observation.status)
            else:
                window.add_unstamped(at)
        self._added += count
        if self._added > _BUDGET // 8:
            self._economise()

    def _place(self, observation: Response | Unstamped) -> HostWindow | None:
        """Return the window of a host that has no place of its own yet; None if it is ignored."""
        host, at = observation.host, observation.at
        pool = self._pool_of(host)
        if host not in pool.windows and self._ignored.matches(host):
            return None
        if self._is_known(host):
            return self._own(host)
        self._oldest_at = min(self._oldest_at, at)  # in a pool no window is due
        window = pool.use(host)
        if len(pool.windows) > pool.limit:
            self._make_room(pool, at)
        return window

    def _make_room(self, pool: Pool, at: Instant) -> None:
        for host in pool.crowded_out(at, self._forgotten):
            self._totals.pop(host, None)
            self._changed.discard(host)

    def _pool_of(self, host: str) -> Pool:
        return self.likely if self._register.is_likely(host) else self.strangers

    def _own(self, host: str) -> HostWindow:
        """Move a host out of the shared pool, if it is in one; return its own window."""
        pool = self.strangers if host in self.strangers.windows else self.likely
        if host in pool.windows:
            window, until = pool.take(host)
            window.limit = EXACT_EVENTS
            window.due_at = window.first_at
            heappush(self._oldest, (window.due_at, host))
        else:
            window, until = HostWindow(), self.incomplete_until(host)
        self._windows[host] = window
        if until >= self._forgotten and until > -NEVER:
            self._incomplete[host] = until
        return window

    def remember(self, accepted: Mapping[str, Iterable[Instant]]) -> None:
        """Record restored uploads that the journal showed earlier, before anything else is recorded."""
        for host, instants in accepted.items():
            for at in instants:
                self.accepted.take(host, at)

    def adopt_unit(self, other: Traffic, latest: Instant) -> None:
        """Take over what another table knows about the unit, before anything is recorded here.

        Messages later than `latest` count as of then.
        """
        self.unit = None if other.unit is None else UnitState(min(other.unit.at, latest), other.unit.is_running)
        self.unit_history.adopt(other.unit_history, latest)

    def admit(self, host: str) -> None:
        """Record that a host has become known."""
        if host in self.strangers.windows or host in self.likely.windows:
            self._own(host)
        elif host not in self._windows and (until := self._pool_of(host).lost_at) > -NEVER and until >= self._forgotten:
            self._incomplete.setdefault(host, until)

    def release(self, hosts: Iterable[str]) -> None:
        """Record that hosts may no longer be known: those continue as strangers."""
        for host in hosts:
            if host in self._windows and not self._is_known(host):
                pool, window = self._pool_of(host), self._windows.pop(host)
                pool.put(host, window, self._incomplete.pop(host, -NEVER))
                self._make_room(pool, -NEVER)

    def _is_known(self, host: str) -> bool:
        """Return whether a host has a place of its own; also while this table is filled and not in use yet."""
        return self.accepted.last_at(host) is not None or self._register.is_known(host)

    def items(self) -> Iterator[tuple[str, HostWindow]]:
        """Yield each host with its window."""
        for windows in (self._windows, self.likely.windows, self.strangers.windows):
            yield from windows.items()

    def window(self, host: str) -> HostWindow | None:
        """Return one host's window; None if it had no recent response, or has lost its place."""
        for windows in (self._windows, self.likely.windows, self.strangers.windows):
            if (window := windows.get(host)) is not None:
                return window
        return None

    def incomplete_until(self, host: str) -> Instant:
        """Return up to when events of a host may be missing because it had no place; `-NEVER` if none are."""
        if host in self._windows or host in self._incomplete or self._is_known(host):
            return self._incomplete.get(host, -NEVER)
        return self._pool_of(host).incomplete_until(host)

    def counts(self, since: Instant, until: Instant) -> Mapping[str, Counts]:
        """Count the events of each host with `since <= t <= until`; hosts without any may be missing.

        The result is valid until the next `record`, `evict` or `counts`.
        """
        totals = self._totals
        if not (since <= self._oldest_at and self._latest_at <= until):
            return {host: window.count(since, until) for host, window in self.items()}
        for host in self._changed:
            window = self.window(host)
            if window is not None:
                totals[host] = window.totals
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
        self._forgotten = max(self._forgotten, before)
        if gone:
            # A new dictionary, because another thread may be reading the old one.
            self._windows = {host: window for host, window in self._windows.items() if host not in gone}
        for pool in (self.strangers, self.likely):
            self._changed.update(pool.evict(before))
        if self._incomplete:
            self._incomplete = {host: until for host, until in self._incomplete.items() if until >= before}

    def _economise(self) -> None:
        """Count the busiest hosts in steps if all windows together have become too large."""
        self._added = 0
        if sum(window.size for window in self._windows.values()) > _BUDGET:
            share = _BUDGET // len(self._windows)
            for window in self._windows.values():
                if window.size > share:
                    window.economise(share)
