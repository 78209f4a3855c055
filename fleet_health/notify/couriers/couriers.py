"""The couriers of all destinations that are configured."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fleet_health.notify.couriers.heartbeat import HeartbeatCourier
from fleet_health.notify.couriers.level import LevelCourier
from fleet_health.notify.couriers.messages import MessageCourier
from fleet_health.notify.reconcile import Queue, Recipient, changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.couriers.courier import Courier
    from fleet_health.notify.couriers.evaluated import Evaluated
    from fleet_health.notify.destination import Build
    from fleet_health.notify.documents import Incident
    from fleet_health.notify.ledger.ledger import Ledger
    from fleet_health.notify.ledger.standing import Standing
    from fleet_health.notify.retry import Clock
    from fleet_health.notify.worker import Worker

_STOP_TIME_S = 5.0

_COURIERS = {"heartbeat": HeartbeatCourier, "alertmanager": LevelCourier}
"""Type of a destination -> its courier, if that is not the courier of messages."""

_log = structlog.get_logger("fleet_health.notify")


class Couriers:
    """One courier for each destination."""

    def __init__(
        self, ledger: Ledger, ledger_thread: Worker, build: Build, clock: Clock, on_change: Callable[[], object]
    ) -> None:
        """Take what each courier needs.

        Args:
            ledger: The ledger.
            ledger_thread: The thread of the ledger.
            build: Makes a destination.
            clock: The clocks.
            on_change: Called when what `notify status` shows of a destination may have changed.

        """
        self.by_name: Mapping[str, Courier] = {}
        """Name of a destination -> its courier."""
        self._ledger, self._ledger_thread = ledger, ledger_thread
        self._build, self._clock, self._on_change = build, clock, on_change
        self._since: Mapping[str, Instant] = {}
        self._tasks: Mapping[str, asyncio.Task[None]] = {}

    async def adopt(self, destinations: Sequence[DestinationSettings], group: asyncio.TaskGroup) -> None:
        """Adopt other destinations. The new courier of a destination starts after the old one has ended."""
        identities = {one.name: _identity(one) for one in destinations}
        await self._ledger_thread.call(self._ledger.meet, identities, self._clock.now())
        standings = await self._ledger_thread.call(self._ledger.standings)
        self._since = {name: one.since for name, one in standings.items()}
        for courier in self.by_name.values():
            courier.end()
        self.by_name = {one.name: self._courier(one, standings[one.name]) for one in destinations}
        before = self._tasks
        self._tasks = {
            name: group.create_task(_run_after(before.get(name), courier)) for name, courier in self.by_name.items()
        }

    async def reconcile(self, incidents: Sequence[Incident], latest: Evaluated | None, now: Instant) -> None:
        """Queue for each destination what it is to be sent, and wake those that have something to do.

        Args:
            incidents: The open incidents, and those that ended recently.
            latest: The latest evaluation; None before the first.
            now: The present.

        """
        for courier in self.by_name.values():
            if not isinstance(courier, HeartbeatCourier):
                await self._ledger_thread.call(self._queue, courier, incidents, now)
        for courier in self.by_name.values():
            courier.wake(latest)

    async def end(self) -> None:
        """Wait for messages that are being sent, for at most 5 s."""
        for courier in self.by_name.values():
            courier.end()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_STOP_TIME_S)
        for courier in self.by_name.values():  # a heartbeat succeeds at each tick, which is not recorded
            if courier.last_success_at is not None and not courier.failing:
                outbox = self._ledger.outbox(courier.name)
                await self._ledger_thread.call(outbox.note_reached, courier.last_success_at)

    def _courier(self, settings: DestinationSettings, standing: Standing) -> Courier:
        courier = _COURIERS.get(settings.type, MessageCourier)(
            settings,
            outbox=self._ledger.outbox(settings.name),
            ledger_thread=self._ledger_thread,
            build=self._build,
            clock=self._clock,
            on_change=self._on_change,
        )
        courier.gone, courier.last_success_at = standing.gone, standing.last_success_at
        return courier

    def _queue(self, courier: Courier, incidents: Sequence[Incident], now: Instant) -> None:
        outbox = self._ledger.outbox(courier.name)
        recipient = Recipient(courier.settings, self._since[courier.name], is_level=isinstance(courier, LevelCourier))
        wanted = changes(incidents, outbox.entries(), recipient, now)
        if wanted:
            outbox.apply(wanted, now)
            queued = sum(isinstance(change, Queue) for change in wanted)
            _log.debug("notifications queued", destination=courier.name, notifications=queued)


async def _run_after(before: asyncio.Task[None] | None, courier: Courier) -> None:
    """Run a courier after the previous one of its destination has ended."""
    if before is not None:
        await before
    await courier.run()


def _identity(settings: DestinationSettings) -> str:
    """Return a text that changes with the configuration of a destination."""
    return repr((settings.type, sorted((key, str(value)) for key, value in settings.own.items())))
