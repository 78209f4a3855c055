"""Which hosts have a place in the journal's table: known hosts for good, others by turns.

Any client that reaches the receiver can use any host name, and is refused under that name. Such names must not displace
a host that matters. So hosts are distinguished by what a stranger cannot cause:

- A *known* host has uploaded (the index has a row of it, or the journal a 2xx), is named in `hosts.expected`, or has an
  open incident that was notified. Its responses are always counted.
- A *likely* host has never uploaded, but its name matches a glob of `hosts.expected`.
- A *stranger* is any other host in the journal.

Likely hosts and strangers each share a pool of places. When a pool is full, the host with the oldest event loses its
place and its counts. The pool remembers the instant of the latest event that was lost this way: up to then, its hosts
are known incompletely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.host_globs import HostGlobs, is_plain
from fleet_health.model.window import FEWEST_EVENTS, NEVER, HostWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fleet_health.model.instant import Instant

HOST_LIMIT = 10_000
"""How many hosts are watched at most by default."""

_STRANGERS, _SHARE = 1_000, 10


def stranger_limit(host_limit: int) -> int:
    """Return how many strangers have a place at a time: a tenth of the limit of hosts, at least 1 and at most 1,000."""
    return max(1, min(_STRANGERS, host_limit // _SHARE))


class LeftOut:
    """What was left out because there was no place for it.

    Attributes:
        count: How many observations, or in a pool how often a host lost its place.
        host: The host of the latest of them.
        latest_at: Its instant.

    """

    __slots__ = ("count", "host", "latest_at")

    def __init__(self, count: int = 0, host: str = "", latest_at: Instant = -NEVER) -> None:
        self.count = count
        self.host = host
        self.latest_at = latest_at

    def add(self, host: str, at: Instant) -> None:
        """Leave one out."""
        self.count += 1
        if at >= self.latest_at:
            self.host, self.latest_at = host, at


class Register:
    """Which hosts are known. The tables of a fleet share one, and keep it informed.

    Attributes:
        protected: The hosts with an open incident that was notified, and those that are silent or lost.
        uploads: Functions that give a host's last upload, one for each table of uploads that is in use. There are two
            while the index is opened anew.
        audience: Functions that take a host that has just become known, one for each table of responses in use.

    """

    __slots__ = ("_names", "_shapes", "audience", "protected", "uploads")

    def __init__(self, expected: Iterable[str] = ()) -> None:
        self.protected: frozenset[str] = frozenset()
        self.uploads: tuple[Callable[[str], Instant | None], ...] = ()
        self.audience: tuple[Callable[[str], None], ...] = ()
        self.expect(expected)

    def expect(self, expected: Iterable[str]) -> None:
        """Take the names and globs of the hosts that are expected."""
        globs = tuple(expected)
        self._names = frozenset(glob for glob in globs if is_plain(glob))
        self._shapes = HostGlobs(tuple(glob for glob in globs if not is_plain(glob)))

    def announce(self, host: str) -> None:
        """Return the tables of responses that a host has become known."""
        for admit in self.audience:
            admit(host)

    def has_uploaded(self, host: str) -> bool:
        """Return whether a row of the host is known."""
        for last_at in self.uploads:  # noqa: SIM110 - asked for each response to a stranger, and `any` takes twice as long
            if last_at(host) is not None:
                return True
        return False

    def is_reserved(self, host: str) -> bool:
        """Return whether a host has a place even in a full table: it is named as expected, or has an open incident."""
        return host in self._names or host in self.protected

    def is_known(self, host: str) -> bool:
        """Return whether a host has a place of its own, as far as the index and the configuration show."""
        return self.is_reserved(host) or self.has_uploaded(host)

    def is_likely(self, host: str) -> bool:
        """Return whether a host matches a glob of `hosts.expected`."""
        return self._shapes.matches(host)

    def is_expected(self, host: str) -> bool:
        """Return whether a host is named in `hosts.expected`, or matches a glob there."""
        return host in self._names or self._shapes.matches(host)


class Pool:
    """The windows of hosts that are not known: a bounded number, the one used least recently first.

    Attributes:
        limit: How many windows at most.
        windows: Host -> window.
        left_out: How often a host lost its place, and whose turn was the latest.
        lost_at: No event that was lost so is later than this.

    """

    __slots__ = ("event_limit", "incomplete", "left_out", "limit", "lost_at", "windows")

    def __init__(self, limit: int, event_limit: int = FEWEST_EVENTS) -> None:
        self.limit = limit
        self.event_limit = event_limit
        self.windows: dict[str, HostWindow] = {}
        self.left_out = LeftOut()
        self.lost_at: Instant = -NEVER
        self.incomplete: dict[str, Instant] = {}
        """Host that has a place -> `lost_at` when it got it, if any event had been lost by then."""

    def use(self, host: str) -> HostWindow:
        """Return a host's window and make it the one used most recently; a new one if it has none.

        The caller makes room.
        """
        window = self.windows.pop(host, None)
        if window is None:
            window = HostWindow(self.event_limit)
            window.due_at = -NEVER  # a pool is gone through as a whole
            if self.lost_at > -NEVER:
                self.incomplete[host] = self.lost_at
        self.windows[host] = window
        return window

    def crowded_out(self, at: Instant, before: Instant) -> Iterator[str]:
        """Take the places of the hosts beyond the limit, and give these.

        Args:
            at: The instant of the event for which there must be a place.
            before: Events before this instant count no more; a host that has no other loses nothing.

        """
        while len(self.windows) > self.limit:
            host = next(iter(self.windows))
            window, _ = self.take(host)
            if window.end_at >= before:
                self.left_out.add(host, max(at, window.end_at))
                self.lost_at = max(self.lost_at, window.end_at)
            yield host

    def take(self, host: str) -> tuple[HostWindow, Instant]:
        """Take a host out; return its window, and up to when that is incomplete."""
        return self.windows.pop(host), self.incomplete.pop(host, -NEVER)

    def put(self, host: str, window: HostWindow, incomplete_until: Instant) -> None:
        """Add a host that was known, as the one that was used most recently."""
        self.windows[host] = window
        window.due_at = -NEVER
        window.economise(self.event_limit)
        if incomplete_until > -NEVER:
            self.incomplete[host] = incomplete_until

    def incomplete_until(self, host: str) -> Instant:
        """Return up to when events of a host that is not known may be missing; `-NEVER` if none is."""
        return self.incomplete.get(host, -NEVER) if host in self.windows else self.lost_at

    def evict(self, before: Instant) -> list[str]:
        """Forget the events before an instant; return the hosts that had any."""
        changed = []
        for host, window in self.windows.items():
            if window.first_at < before:
                window.evict(before)
                changed.append(host)
        if changed:
            # New dictionaries rather than fewer keys in the old ones, which another thread may be reading.
            self.windows = {host: window for host, window in self.windows.items() if window}
        self.incomplete = {
            host: until for host, until in self.incomplete.items() if until >= before and host in self.windows
        }
        return changed
