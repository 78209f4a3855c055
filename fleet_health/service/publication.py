"""What the service has decided, as others may follow it: its evaluations by number, and what was notified, in order.

An evaluation is published when what it notifies has been delivered, or tried, and the state is saved. So whoever
follows is never ahead of what the service knows after a kill.
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
"""For how long a notification is kept for whoever follows."""
NOTICES = 10_000
"""How many notices are saved with the state: the alert log need not have them."""
_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Notification:
    """An alert or a notice as it is followed.

    Attributes:
        id: What names it; it is the same after a restart.
        order: Its instant, or that of an earlier one if that is later: a clock that was set back changes no order.
        line: Its row with `id` and `kind`, as a line of JSON.

    """

    id: str
    order: Instant
    line: bytes


def id_of(entry: Alert | Notice) -> str:
    """Name an alert or a notice."""
    return f"{entry.detected_at}-{entry.dedup_key}"


def instant_of(id_: str) -> Instant | None:
    """Return when what has an id was notified; None if it is no id."""
    at, separator, key = id_.partition("-")
    return int(at) if separator and key and at.isascii() and at.isdecimal() and len(at) <= len(str(1 << 63)) else None


class Publication:
    """Keeps what was notified of late, and wakes whoever waits for more."""

    def __init__(self) -> None:
        self.number = 0
        """How many evaluations were published since the start."""
        self.notices: list[Notice] = []
        """The notices of late, also those that are not delivered yet: they are saved with the state."""
        self.is_restored = False
        """Whether what was notified before the start is known: until then no position means anything."""
        self.is_closed = False
        """Whether nothing more comes, because the service stops."""
        self._kept: deque[Notification] = deque()
        self._dropped = 0
        self._bytes = 0
        self._taken: list[Alert | Notice] = []
        self._changed = asyncio.Event()

    def restore(self, alerts: Iterable[Alert | Notice], notices: Sequence[Notice]) -> None:
        """Go on from what was recorded before the start: in the alert log, and in the state."""
        self.notices, self.is_restored = list(notices), True
        entries = {id_of(entry): entry for entry in [*alerts, *notices]}
        self._add(sorted(entries.values(), key=lambda entry: (entry.detected_at, isinstance(entry, Notice))))

    def note(self, notices: Iterable[Notice], now: Instant) -> None:
        """Record the notices of an evaluation, which will be delivered, for the state."""
        kept = [one for one in self.notices if now - one.detected_at <= KEPT_US]
        self.notices = [*kept, *notices][-NOTICES:]

    def take(self, entries: Iterable[Alert | Notice]) -> None:
        """Take what is being notified; it is published with the rest of its evaluation."""
        self._taken += entries

    def publish(self) -> None:
        """Publish what was taken."""
        taken, self._taken = self._taken, []
        self._add(taken)
        self.number += 1
        self._wake()

    def close(self) -> None:
        """Let go whoever waits."""
        self.is_closed = True
        self._wake()

    @property
    def change(self) -> asyncio.Event:
        """What is set when something is published next."""
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
        """Return the position after a notification; of one that is not kept, that after all that came before it.

        An empty id stands before all.

        Raises:
            ValueError: It is no id.

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
        """Return what comes from a position on, and how many before it were dropped meanwhile."""
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
