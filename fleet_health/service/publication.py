"""Publish evaluations and notifications to the clients that follow them.

An evaluation is published once its notifications have been delivered or tried and the state has been saved. So a client
never knows more than the service does if it is killed and restarted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from fleet_health.alerting.alert import LOST, Alert, Notice
from fleet_health.model.instant import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.model.instant import Instant

KEPT_US = 24 * HOUR_US
"""How long a notification is kept for clients that follow, in microseconds."""
NOTICES = 10_000
"""The largest number of notices that are saved in the state, because the alert log may not contain them."""
_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Notification:
    """An alert or a notice as clients get it.

    Attributes:
        id: Its identifier, the same after a restart.
        order: Its instant, or that of its predecessor if that is later, so that the order survives a clock that is set
            back.
        line: Its row with `id` and `kind`, as a JSON line.

    """

    id: str
    order: Instant
    line: bytes


def id_of(entry: Alert | Notice) -> str:
    """Return the id of an alert or a notice."""
    return f"{entry.detected_at}-{entry.dedup_key}"


def instant_of(id_: str) -> Instant | None:
    """Return the instant in an id; None if it is not an id."""
    at, separator, key = id_.partition("-")
    return int(at) if separator and key and at.isascii() and at.isdecimal() and len(at) <= len(str(1 << 63)) else None


class Publication:
    """Keeps recent notifications, and wakes the clients that wait for more."""

    def __init__(self) -> None:
        self.number = 0
        """The number of evaluations published since the start."""
        self.notices: list[Notice] = []
        """The recent notices, including those not delivered yet. They are saved in the state."""
        self.is_restored = False
        """Whether the notifications from before the start are known. Until then, no position is valid."""
        self.is_closed = False
        """Whether the service is stopping and will publish no more evaluations."""
        self._kept: deque[Notification] = deque()
        self._dropped = 0
        self._bytes = 0
        self._taken: list[Alert | Notice] = []
        self._changed = asyncio.Event()

    def restore(self, alerts: Iterable[Alert | Notice], notices: Sequence[Notice]) -> None:
        """Restore the notifications from before the start, from the alert log and the state."""
        self.notices, self.is_restored = list(notices), True
        entries = {id_of(entry): entry for entry in [*alerts, *notices]}
        self._add(sorted(entries.values(), key=lambda entry: (entry.detected_at, isinstance(entry, Notice))))

    def note(self, notices: Iterable[Notice], now: Instant) -> None:
        """Record the notices of an evaluation for the state, before they are delivered."""
        kept = [one for one in self.notices if now - one.detected_at <= KEPT_US]
        self.notices = [*kept, *notices][-NOTICES:]

    def take(self, entries: Iterable[Alert | Notice]) -> None:
        """Record notifications as they are delivered. `publish` makes them visible."""
        self._taken += entries

    def publish(self) -> None:
        """Publish the recorded notifications as one evaluation."""
        taken, self._taken = self._taken, []
        self._add(taken)
        self.number += 1
        self._wake()

    def close(self) -> None:
        """Wake all waiting clients for the last time."""
        self.is_closed = True
        self._wake()

    @property
    def change(self) -> asyncio.Event:
        """The event that the next publication sets."""
        return self._changed

    @property
    def end(self) -> int:
        """The position after the latest notification."""
        return self._dropped + len(self._kept)

    @property
    def last_id(self) -> str:
        """The id of the latest notification; empty if there is none."""
        return self._kept[-1].id if self._kept else ""

    def position_after(self, id_: str) -> int:
        """Return the position after a notification; if it is no longer kept, the position after all older ones.

        The empty id stands for the beginning.

        Raises:
            ValueError: The text is not an id.

        """
        if not id_:
            return self._dropped
        for index, one in enumerate(reversed(self._kept)):
            if one.id == id_:
                return self.end - index
        if (at := instant_of(id_)) is None:
            raise ValueError(id_)
        return self._dropped + sum(1 for one in self._kept if one.order <= at)

    def since(self, position: int) -> tuple[list[Notification], int]:
        """Return the notifications from a position on, and the number of those that were dropped meanwhile."""
        missed = max(0, self._dropped - position)
        return list(islice(self._kept, max(0, position - self._dropped), None)), missed

    def _add(self, entries: Iterable[Alert | Notice]) -> None:
        for entry in entries:
            line = msgspec.json.encode({"id": id_of(entry), "kind": _kind(entry), **entry.row()}) + b"\n"
            before = self._kept[-1].order if self._kept else entry.detected_at
            self._kept.append(Notification(id_of(entry), max(before, entry.detected_at), line))
            self._bytes += len(line)
        while self._kept and (self._bytes > _BYTES or self._kept[-1].order - self._kept[0].order > KEPT_US):
            self._bytes -= len(self._kept.popleft().line)
            self._dropped += 1

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self.is_closed:
            self._changed.set()


def _kind(entry: Alert | Notice) -> str:
    if isinstance(entry, Notice):
        return "lost" if entry.status == LOST else "resolution"
    return "repeat" if entry.is_repeat else "opening"
