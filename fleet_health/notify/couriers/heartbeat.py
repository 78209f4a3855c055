"""The courier of a heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.notify.couriers.courier import Courier
from fleet_health.notify.destination import Heartbeat

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant


class HeartbeatCourier(Courier):
    """Pings once for each evaluation; of several that came during a ping, only for the latest."""

    _pinged_at: Instant | None = None

    async def _send(self) -> float | None:
        latest = self.latest
        if latest is None or latest.at == self._pinged_at:
            return None
        destination = await self._caller.destination()
        assert isinstance(destination, Heartbeat)  # noqa: S101 - its type has this courier
        await self._caller.call(destination.ping, latest.summary, is_well=latest.is_well)
        self._pinged_at = latest.at
        await self._note_reached()
        return 0.0
