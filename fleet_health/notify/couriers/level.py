"""The courier of a destination that is sent the whole set of open incidents, such as Alertmanager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.couriers.courier import Courier
from fleet_health.notify.destination import LevelDestination
from fleet_health.notify.grouping import key_of
from fleet_health.notify.message import Kind, Message
from fleet_health.notify.reconcile import is_opened, notification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.notify.couriers.evaluated import Evaluated
    from fleet_health.notify.documents import Incident
    from fleet_health.notify.message import Notification

HOLD_EVERY_S = 60.0
"""How often the whole set is sent again while nothing changes."""
HOLDS_FOR_US, HOLDS_FOR_TICKS = 300 * SECOND_US, 4
"""For how long the whole set is valid, at least. It must outlast a restart of the machine."""
ENDED_FOR_US = 900 * SECOND_US
"""For how long losses and resolutions are sent with the whole set."""


class LevelCourier(Courier):
    """Sends all incidents that stand: at each evaluation, and again before they expire."""

    _held: Evaluated | None = None
    """The evaluation that was sent last."""
    _hold_at = 0.0
    """When the same set is sent again, by the monotonic clock."""

    async def _send(self) -> float | None:
        latest = self.latest
        wait_s = self._hold_at - self._clock.monotonic()
        if latest is None or (latest is self._held and wait_s > 0):
            return None if latest is None else wait_s
        destination = await self._caller.destination()
        assert isinstance(destination, LevelDestination)  # noqa: S101 - its type has this courier
        now = self._clock.now()
        holds_for_us = max(HOLDS_FOR_US, HOLDS_FOR_TICKS * latest.tick_us)
        standing, ended, waiting = await self._ledger_thread.call(self._set, latest.incidents, now)
        delivered = await self._caller.call(destination.hold, standing, ended, now + holds_for_us)
        self._held, self._hold_at = latest, self._clock.monotonic() + HOLD_EVERY_S
        await self._note_reached()
        if waiting:
            message = Message(key_of(self.name, waiting), tuple(waiting))
            await self._ledger_thread.call(self._outbox.note_held, message, delivered, now)
        return 0.0

    def _set(
        self, incidents: Sequence[Incident], now: Instant
    ) -> tuple[list[Notification], list[Notification], list[Notification]]:
        """Return the openings of what stands, recent losses and resolutions, and which notifications wait."""
        waiting = [one.notification for one in self._outbox.waiting()]
        entries = self._outbox.entries()
        standing = [
            notification(one, Kind.OPENING, one.first_notified_at)
            for one in incidents
            if is_opened(entries.get(one.id, ()))
        ]
        ended = [one for one in waiting if one.kind.is_closing] + self._outbox.closings_since(now - ENDED_FOR_US)
        # An incident that is no longer listed cannot be held, but its opening is still to be sent once.
        stands = {one.incident for one in standing}
        standing += [one for one in waiting if one.kind is Kind.OPENING and one.incident not in stands]
        return standing, ended, waiting
