"""The fleet as the sources have shown it: each host's last ship, and what the receiver answered it of late.

Two tables rather than one record a host: each is fed by one kind of source, so a source that is opened anew
(a changed path, a longer window) fills a fresh table beside the old one and replaces it when it has caught up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.domain.observation import Response
from fleet_health.domain.window import HostWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fleet_health.domain.instant import Instant
    from fleet_health.domain.observation import Ship, Unstamped


class Ships:
    """When each host last shipped: the maximum over its rows, in whatever order they came."""

    __slots__ = ("_last_at",)

    def __init__(self) -> None:
        self._last_at: dict[str, Instant] = {}

    def record(self, ships: Iterable[Ship]) -> None:
        """Take note of accepted uploads."""
        last_at = self._last_at
        for ship in ships:
            if last_at.get(ship.host, ship.at - 1) < ship.at:
                last_at[ship.host] = ship.at

    def merge(self, other: Ships) -> None:
        """Take in what another table knows."""
        for host, at in other.items():
            self._last_at[host] = max(at, self._last_at.get(host, at))

    def last_at(self, host: str) -> Instant | None:
        """Say when a host last shipped; None if it is not known to have shipped."""
        return self._last_at.get(host)

    def items(self) -> Iterable[tuple[str, Instant]]:
        """Give each host with its last ship."""
        return self._last_at.items()

    def evict(self, before: Instant) -> None:
        """Forget the hosts whose last ship was before an instant."""
        for host in [host for host, at in self._last_at.items() if at < before]:
            del self._last_at[host]


class Traffic:
    """What the receiver answered each host: one window a host."""

    __slots__ = ("_windows",)

    def __init__(self) -> None:
        self._windows: dict[str, HostWindow] = {}

    def record(self, observations: Iterable[Response | Unstamped]) -> None:
        """Take note of the receiver's answers."""
        windows = self._windows
        for observation in observations:
            window = windows.get(observation.host)
            if window is None:
                window = windows[observation.host] = HostWindow()
            if type(observation) is Response:
                window.add_response(observation.at, observation.status)
            else:
                window.unstamped.add(observation.at)

    def items(self) -> Iterable[tuple[str, HostWindow]]:
        """Give each host with its window."""
        return self._windows.items()

    def window(self, host: str) -> HostWindow | None:
        """Give one host's window; None if the receiver has not answered it of late."""
        return self._windows.get(host)

    def evict(self, before: Instant) -> None:
        """Forget the events before an instant, and the hosts that have none left."""
        for host in [host for host, window in self._windows.items() if window.evict(before)]:
            del self._windows[host]


class Fleet:
    """Everything known about the hosts. `ships` and `traffic` may be replaced whole."""

    __slots__ = ("ships", "traffic")

    def __init__(self) -> None:
        self.ships = Ships()
        self.traffic = Traffic()

    def hosts(self) -> Iterator[str]:
        """Give each host that is known from any source, once."""
        traffic = self.traffic
        yield from (host for host, _ in traffic.items())
        yield from (host for host, _ in self.ships.items() if traffic.window(host) is None)
