"""How many responses there were since the service started, by host and by receiver: numbers that only grow.

The windows of a fleet forget, and a table may be filled anew; what counts here was counted once, when it came in. What
had been read before the service started is left out, so that a restart adds nothing to what was counted before it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fleet_health.model.observation import Response
from fleet_health.model.window import CLIENT_ERROR, NEVER, SERVER_ERROR, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleet_health.model.instant import Instant

CLASSES = (SUCCESS, CLIENT_ERROR, SERVER_ERROR)
"""The classes of HTTP status that are counted: the status divided by 100."""

_FEWEST = 1_000


class ResponseCounts:
    """Counts responses.

    Attributes:
        of_receivers: Receiver and class -> how many responses it gave.

    """

    __slots__ = ("_of_hosts", "_room", "of_receivers")

    def __init__(self) -> None:
        self.of_receivers: Counter[tuple[str, int]] = Counter()
        # A dictionary for each class: most hosts have responses of one class only.
        self._of_hosts: dict[int, dict[str, int]] = {one: {} for one in CLASSES}
        self._room = _FEWEST

    def record(self, receiver: str, observations: Iterable[object], *, after: Instant = -NEVER) -> None:
        """Count the responses among some observations.

        Args:
            receiver: Who gave them; empty if there is only one.
            observations: What its journal has shown.
            after: What is dated up to here was counted before, by a service that has ended.

        """
        of_hosts, counted = self._of_hosts, Counter[int]()
        for one in observations:
            if type(one) is Response and one.at > after and (of_class := of_hosts.get(one.status // 100)) is not None:
                of_class[one.host] = of_class.get(one.host, 0) + 1
                counted[one.status // 100] += 1
        for of_status, count in counted.items():
            self.of_receivers[receiver, of_status] += count

    def of(self, host: str) -> tuple[int, int, int]:
        """Return how many responses of 2xx, 4xx and 5xx a host got."""
        of_hosts = self._of_hosts
        return (
            of_hosts[SUCCESS].get(host, 0),
            of_hosts[CLIENT_ERROR].get(host, 0),
            of_hosts[SERVER_ERROR].get(host, 0),
        )

    @property
    def is_crowded(self) -> bool:
        """Whether there are so many hosts that those that are no longer known should be removed."""
        return sum(map(len, self._of_hosts.values())) > self._room

    def keep(self, is_kept: Callable[[str], bool]) -> None:
        """Forget the hosts that need not be kept: names come from the network, and may be invented without end."""
        for of_status, hosts in self._of_hosts.items():
            self._of_hosts[of_status] = {host: count for host, count in hosts.items() if is_kept(host)}
        # Twice as many as are left, so that each is looked at once for each one that comes.
        self._room = max(_FEWEST, 2 * sum(map(len, self._of_hosts.values())))
