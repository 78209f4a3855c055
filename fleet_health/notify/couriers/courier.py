"""The base of couriers: it sends in turns, retries, and records failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from fleet_health.notify.couriers.caller import Caller
from fleet_health.notify.destination import DeliveryError, DestinationGoneError
from fleet_health.notify.overview import send_test
from fleet_health.notify.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.couriers.evaluated import Evaluated
    from fleet_health.notify.destination import Build, Delivered
    from fleet_health.notify.ledger.outbox import Outbox
    from fleet_health.notify.message import Message
    from fleet_health.notify.retry import Clock
    from fleet_health.notify.worker import Worker

_log = structlog.get_logger("fleet_health.notify")


class Courier:
    """Sends to one destination, in a task of its own. What it sends, and when, is up to its subclass."""

    def __init__(
        self,
        settings: DestinationSettings,
        *,
        outbox: Outbox,
        ledger_thread: Worker,
        build: Build,
        clock: Clock,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        """Take what it needs.

        Args:
            settings: How the destination is configured.
            outbox: The part of the ledger that is about the destination.
            ledger_thread: The thread of the ledger.
            build: Makes the destination.
            clock: The clocks.
            on_change: Called after each turn: what `notify status` shows of the destination may have changed.

        """
        self.settings = settings
        self.gone = ""
        """Why nothing is sent until the configuration changes; empty if messages are sent."""
        self.last_success_at: Instant | None = None
        """The latest call of the destination that was taken; None if this courier knows of none."""
        self.failing = ""
        """Why the latest call failed, or counts as one that hangs; empty if it succeeded, or there was none."""
        self.calls: Counter[str] = Counter()
        """Outcome (`taken`, `failed`, `refused`, `gone`) -> how many calls of the destination have had it."""
        self.latest: Evaluated | None = None
        """The latest evaluation; None before the first."""
        self._outbox, self._ledger_thread, self._clock = outbox, ledger_thread, clock
        self._caller = Caller(settings, build, self._note_hang)
        self._on_change = on_change
        self._retry = Retry(clock)
        self._wake = asyncio.Event()
        self._is_ending = False
        self._message: Message | None = None
        """The message that the present turn is about; None if it is about none."""

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.settings.name

    def wake(self, latest: Evaluated | None = None) -> None:
        """Let the courier look whether there is something to send."""
        self.latest = latest or self.latest
        self._wake.set()

    async def run(self) -> None:
        """Send until `end` is called."""
        while not self._is_ending:
            self._wake.clear()
            wait_s: float | None = self._retry.wait_s
            if not self.gone and not wait_s:
                wait_s = await self._turn()
                self._on_change()
            if wait_s is None or wait_s > 0 or self.gone:
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if self.gone else wait_s):
                        await self._wake.wait()
        self._caller.close()

    def end(self) -> None:
        """Finish what is being sent, and then stop."""
        self._is_ending = True
        self._wake.set()

    async def try_out(self, now: Instant) -> Delivered:
        """Send a test message, which the ledger does not record.

        Raises:
            DeliveryError: It was not taken.

        """
        return await self._caller.call(send_test, await self._caller.destination(), now)

    async def _turn(self) -> float | None:
        """Send what is due, and record a failure. Return the seconds until the next turn; None to wait for `wake`."""
        self._message = None
        try:
            return await self._send()
        except DestinationGoneError as error:
            await self._note_gone(error)
        except DeliveryError as error:
            await self._note_failure(error)
        return 0.0

    async def _send(self) -> float | None:
        """Send what is due, and set `_message` if that is a message. Return what `_turn` returns.

        Raises:
            DeliveryError: It was not delivered.

        """
        raise NotImplementedError

    def _note_hang(self, reason: str) -> None:
        self.failing = reason

    async def _note_failure(self, error: DeliveryError) -> None:
        """Record a failure; log it unless the attempt before failed for the same reason."""
        reason = str(error)
        self.calls["failed"] += 1
        wait_s = self._retry.fail(error.retry_after_s)
        if self.failing != reason:
            _log.warning(
                "notification not delivered", destination=self.name, reason=reason, retry_in_s=round(wait_s, 1)
            )
        self.failing = reason
        await self._ledger_thread.call(
            self._outbox.note_failed,
            self._message,
            reason,
            self._clock.now(),
            is_response_lost=error.is_response_lost,
        )

    async def _note_gone(self, error: DestinationGoneError) -> None:
        self.gone = self.failing = str(error)
        self.calls["gone"] += 1
        _log.error(
            "destination gone, disabled until its configuration changes", destination=self.name, reason=self.gone
        )
        await self._ledger_thread.call(self._outbox.note_gone, self._message, self.gone, self._clock.now())

    async def _note_reached(self) -> None:
        """Record a success that no message is recorded for, such as a ping.

        The ledger is written only if the attempt before failed, because this happens at each evaluation.
        """
        was_failing = bool(self.failing)
        self._note_success()
        if was_failing:
            await self._ledger_thread.call(self._outbox.note_reached, self._clock.now())

    def _note_success(self, taken: int = 1) -> None:
        self.calls["taken"] += taken
        self._retry.succeed()
        if self.failing:
            _log.info("destination reached again", destination=self.name)
        self.failing, self.last_success_at = "", self._clock.now()
