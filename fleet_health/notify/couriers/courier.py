"""The base of couriers: builds a destination, calls it in its own thread, and records failures.

A destination that hangs does not delay others, because each courier has its own task, thread and retries.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import DeliveryError, DestinationGoneError
from fleet_health.notify.overview import send_test
from fleet_health.notify.retry import Retry
from fleet_health.notify.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.destination import AnyDestination, Build, Delivered
    from fleet_health.notify.documents import Incident
    from fleet_health.notify.ledger import Ledger
    from fleet_health.notify.message import Message
    from fleet_health.notify.retry import Clock

T = TypeVar("T")

_GRACE_S = 15.0
_log = structlog.get_logger("fleet_health.notify")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation of the daemon, as couriers get it.

    Attributes:
        at: The evaluation; None if none is known.
        is_well: Whether the daemon is neither blind nor failing.
        summary: How it fares, in one line.
        incidents: The incidents that stand.
        tick_us: The time from one evaluation to the next.

    """

    at: Instant | None
    is_well: bool
    summary: str
    incidents: Sequence[Incident] = ()
    tick_us: int = 0


class Courier:
    """The base of couriers: builds the destination, takes turns, and records failures."""

    def __init__(
        self,
        settings: DestinationSettings,
        *,
        ledger: Ledger,
        account: Worker,
        build: Build,
        clock: Clock,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        """Take what it needs.

        Args:
            settings: How the destination is configured.
            ledger: The ledger.
            account: The thread of the ledger.
            build: Makes the destination.
            clock: The clocks.
            on_change: Called when something else can be reported of it.

        """
        self.settings = settings
        self.gone = ""
        """Why nothing is sent until the configuration changes; empty if it is."""
        self.last_success_at: Instant | None = None
        """When something was taken last, by this courier."""
        self.failing = ""
        """Why the latest attempt failed; empty if it succeeded, or there was none."""
        self.calls: Counter[str] = Counter()
        """Outcome (`taken`, `failed`, `refused`, `gone`) -> how many calls of the destination have had it."""
        self.latest: Evaluated | None = None
        self._ledger, self._account, self._build, self._clock = ledger, account, build, clock
        self._on_change = on_change
        self._worker = Worker(f"to {settings.name}")
        self._retry = Retry(clock)
        self._wake = asyncio.Event()
        self._destination: AnyDestination | None = None
        self._is_ending = False
        self._is_busy = False
        self._message: Message | None = None
        """The message that is being sent, or was sent last; None without one."""

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.settings.name

    def wake(self, latest: Evaluated | None = None) -> None:
        """Look again: there may be something to send."""
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
        if self._destination is not None:
            self._worker.begin(self._destination.close)
        self._worker.end()

    def end(self) -> None:
        """Finish what is being sent, and then stop."""
        self._is_ending = True
        self._wake.set()

    @property
    def is_busy(self) -> bool:
        """Whether the destination is being called."""
        return self._is_busy

    async def try_out(self, now: Instant) -> Delivered:
        """Send a test message, without an account of it.

        Raises:
            DeliveryError: It was not taken.

        """
        return await self._called(send_test, await self._built(), now)

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
        """Send what is due; set `_message` if it is a message. Return the same as `_turn`.

        Raises:
            DeliveryError: It was not delivered.

        """
        raise NotImplementedError

    async def _built(self) -> AnyDestination:
        if self._destination is None:
            self._destination = await self._called(self._build, self.settings)
        return self._destination

    async def _called(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """Call the destination in its thread; log it if that takes longer than it may.

        Raises:
            DeliveryError: It failed. An error of its code is one too, for it must not end what others are sent.

        """
        self._is_busy = True
        try:
            call = self._worker.begin(function, *args, **named)
            limit_s = self.settings.timeout_us / SECOND_US + _GRACE_S
            await asyncio.wait({call}, timeout=limit_s)
            if not call.done():
                self.failing = f"no response for {limit_s:g} s"
                _log.error("destination hangs", destination=self.name, seconds=limit_s)
            return await call
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            raise unexpected(error) from None
        finally:
            self._is_busy = False

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
        await self._account.call(
            self._ledger.note_failed,
            self.name,
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
        await self._account.call(self._ledger.note_gone, self.name, self._message, self.gone, self._clock.now())

    async def _note_reached(self) -> None:
        """Record that the destination took something that is no message: the ledger lists it as failing no more."""
        was_failing = bool(self.failing)
        self._note_success()
        if was_failing:
            await self._account.call(self._ledger.note_reached, self.name, self._clock.now())

    def _note_success(self, taken: int = 1) -> None:
        self.calls["taken"] += taken
        self._retry.succeed()
        if self.failing:
            _log.info("destination reached again", destination=self.name)
        self.failing, self.last_success_at = "", self._clock.now()


def unexpected(error: Exception) -> DeliveryError:
    """Return an error of a destination's code as a failed delivery; without its words, which may hold a secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__} in {frame.name}, line {frame.lineno} of {frame.filename}"
    return DeliveryError(f"unexpected error: {reason}", is_response_lost=True)
