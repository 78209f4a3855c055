"""A courier for each destination: it sends what waits, and tries again for as long as it takes. None waits for another.

A message is recorded before it is sent. What is surely not taken waits again by itself, so that what comes meanwhile
can join it; what may have been taken is sent again as it was.
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import (
    Delivered,
    DeliveryError,
    Destination,
    DestinationGoneError,
    Heartbeat,
    LevelDestination,
    RefusedMessageError,
)
from fleet_health.notify.grouping import key_of, next_turn
from fleet_health.notify.message import Kind, Message
from fleet_health.notify.overview import send_test
from fleet_health.notify.reconcile import notification
from fleet_health.notify.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.config.destinations import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.destination import AnyDestination, Build
    from fleet_health.notify.documents import Incident
    from fleet_health.notify.ledger import Ledger
    from fleet_health.notify.message import Notification

FIRST_WAIT_S, LAST_WAIT_S = 1.0, 300.0
"""How long is waited before another attempt, from the first failure on: twice as long each time."""
LONGEST_WAIT_S = 86_400.0
"""How long a destination can ask to be left alone."""
HOLD_EVERY_S = 60.0
"""How often the whole set is sent again while nothing changes."""
HOLDS_FOR_US, HOLDS_FOR_TICKS = 300 * SECOND_US, 4
"""For how long the whole set counts if nothing newer comes, at least: a restart of the machine must not end it."""
ENDED_FOR_US = 900 * SECOND_US
"""For how long what has ended is sent with the whole set."""

T = TypeVar("T")

_FEW = 50
_BATCH_S = 2.0
_GRACE_S = 15.0
_log = structlog.get_logger("fleet_health.notify")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation of the daemon, as every courier gets it.

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


class Clock(Protocol):
    """Gives the present, on the wall and by a clock that is never set."""

    def now(self) -> Instant:
        """Return the present in microseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some time ago."""
        ...


class SystemClock:
    """The clocks of the machine."""

    def now(self) -> Instant:
        """Return the present."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds since some time ago."""
        return time.monotonic()


class Retry:
    """When the next attempt may be: later after each failure, with jitter, or when the destination asks for it."""

    def __init__(self, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._at = 0.0

    def fail(self, retry_after_s: float | None = None) -> float:
        """Note a failure; return for how many seconds nothing is tried."""
        base = min(FIRST_WAIT_S * float(1 << self._failures), LAST_WAIT_S)
        self._failures = min(self._failures + 1, 16)
        wait_s = base * (0.75 + self._jitter() / 2)
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, LONGEST_WAIT_S))
        self._at = self._clock.monotonic() + wait_s
        return wait_s

    def succeed(self) -> None:
        """Note that it worked."""
        self._failures, self._at = 0, 0.0

    @property
    def wait_s(self) -> float:
        """For how many seconds nothing is to be tried; 0 if it may be now."""
        return max(0.0, self._at - self._clock.monotonic())


class Courier:
    """What all couriers do: build their destination, take turns, and keep account of failures."""

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
        """What was wrong with the latest attempt; empty if it worked, or there was none."""
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
        """Send nothing more after what is being sent."""
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
        """Send what is to be sent next; return after how many seconds to look again, None for when woken."""
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
            raise _unexpected(error) from None
        finally:
            self._is_busy = False

    async def _note_failure(self, error: DeliveryError, message: Message | None = None) -> None:
        """Keep account of a failure, and log what is new."""
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
            message,
            reason,
            self._clock.now(),
            is_answer_lost=error.is_answer_lost,
        )

    async def _note_gone(self, error: DeliveryError, message: Message | None = None) -> None:
        self.gone = self.failing = str(error)
        self.calls["gone"] += 1
        _log.error(
            "destination gone, disabled until its configuration changes", destination=self.name, reason=self.gone
        )
        await self._account.call(self._ledger.note_gone, self.name, message, self.gone, self._clock.now())

    def _note_success(self, taken: int = 1) -> None:
        self.calls["taken"] += taken
        self._retry.succeed()
        if self.failing:
            _log.info("destination reached again", destination=self.name)
        self.failing, self.last_success_at = "", self._clock.now()


def _unexpected(error: Exception) -> DeliveryError:
    """Return an error of a destination's code as a failed delivery; without its words, which may hold a secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__} in {frame.name}, line {frame.lineno} of {frame.filename}"
    return DeliveryError(f"unexpected error: {reason}", is_answer_lost=True)


@dataclass(frozen=True, slots=True)
class _Sent:
    """What came of sending some messages.

    Attributes:
        taken: How many were taken.
        wait_s: After how many seconds to look again; None for when woken.
        message: The message that was not taken, if there was one.
        error: Why.

    """

    taken: int
    wait_s: float | None
    message: Message | None = None
    error: DeliveryError | None = None


class MessageCourier(Courier):
    """Sends messages, one after the other."""

    async def _turn(self) -> float | None:
        message: Message | None = None
        try:
            destination = await self._built()
            assert isinstance(destination, Destination)  # noqa: S101 - who makes couriers has looked
            sent = await self._called(self._send_some, destination)
            message = sent.message
            if sent.taken:
                self._note_success(sent.taken)
            if sent.error is None:
                return sent.wait_s
            raise sent.error
        except DestinationGoneError as error:
            await self._note_gone(error, message)
        except RefusedMessageError as error:
            assert message is not None  # noqa: S101 - it is refused
            self._retry.succeed()
            self.calls["refused"] += 1
            _log.error(
                "notification refused and dropped",
                destination=self.name,
                reason=str(error),
                notifications=len(message.notifications),
            )
            await self._account.call(self._ledger.note_refused, self.name, message, str(error), self._clock.now())
        except DeliveryError as error:
            await self._note_failure(error, message)
        return 0.0

    def _send_some(self, destination: Destination) -> _Sent:
        """Send what waits for a while, in the destination's thread: a thousand messages do not change hands each.

        Each answer is recorded before the next message is sent.
        """
        ends_at, taken = self._clock.monotonic() + _BATCH_S, 0
        answered: tuple[Message, Delivered] | None = None
        while True:
            is_enough = answered is not None and (self._is_ending or self._clock.monotonic() > ends_at)
            step = partial(self._record_and_begin, answered, destination, is_enough=is_enough)
            message, wait_s = self._ledger.together(step)
            if message is None:
                return _Sent(taken, wait_s)
            try:
                answered = message, destination.send(message)
            except DeliveryError as error:
                return _Sent(taken, 0.0, message, error)
            except Exception as error:  # noqa: BLE001 - its code must not end what others are sent
                return _Sent(taken, 0.0, message, _unexpected(error))
            taken += 1

    def _record_and_begin(
        self, answered: tuple[Message, Delivered] | None, destination: Destination, *, is_enough: bool
    ) -> tuple[Message | None, float | None]:
        """Record an answer, and begin the next message unless it is enough: both in one write to the disk."""
        if answered is not None:
            self._ledger.note_delivered(self.name, *answered, self._clock.now())
        return (None, 0.0) if is_enough else self._next(takes_groups=destination.takes_groups)

    def _next(self, *, takes_groups: bool) -> tuple[Message | None, float | None]:
        """Return the next message, recorded as being sent; or after how many seconds to look again."""
        ledger, settings, now = self._ledger, self.settings, self._clock.now()
        if (message := ledger.unfinished(self.name)) is not None:
            return message, 0.0
        waiting = ledger.waiting(self.name, -1 if takes_groups else _FEW)
        sent_at = ledger.sent_since(self.name, now - settings.rate_limit[1]) if waiting and settings.rate_limit else ()
        turn = next_turn(waiting, sent_at, settings, now, takes_groups=takes_groups)
        if turn.message is None:
            return None, None if turn.at is None else max(0.01, (turn.at - now) / SECOND_US)
        ledger.begin(self.name, turn.message, now)
        return turn.message, 0.0


class LevelCourier(Courier):
    """Sends the whole set of what stands: at each evaluation, and again before it expires."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Take what every courier does."""
        super().__init__(*args, **named)
        self._held: Evaluated | None = None
        self._hold_at = 0.0

    async def _turn(self) -> float | None:
        latest = self.latest
        wait_s = self._hold_at - self._clock.monotonic()
        if latest is None or (latest is self._held and wait_s > 0):
            return None if latest is None else wait_s
        try:
            destination = await self._built()
            assert isinstance(destination, LevelDestination)  # noqa: S101 - who makes couriers has looked
            now = self._clock.now()
            holds_for_us = max(HOLDS_FOR_US, HOLDS_FOR_TICKS * latest.tick_us)
            standing, ended, waiting = await self._account.call(self._set, latest.incidents, now)
            delivered = await self._called(destination.hold, standing, ended, now + holds_for_us)
        except DestinationGoneError as error:
            await self._note_gone(error)
        except DeliveryError as error:
            await self._note_failure(error)
        else:
            was_failing = bool(self.failing)
            self._note_success()
            self._held, self._hold_at = latest, self._clock.monotonic() + HOLD_EVERY_S
            if waiting:
                message = Message(key_of(self.name, waiting), tuple(waiting))
                await self._account.call(self._ledger.note_held, self.name, message, delivered, now)
            elif was_failing:
                await self._account.call(self._ledger.note_reached, self.name, now)
        return 0.0

    def _set(
        self, incidents: Sequence[Incident], now: Instant
    ) -> tuple[list[Notification], list[Notification], list[Notification]]:
        """Return what stands, what has ended, and which of these wait to be sent."""
        waiting = [one.notification for one in self._ledger.waiting(self.name)]
        known = self._ledger.entries(self.name)
        standing = [notification(one, Kind.OPENING, one.first_notified_at) for one in incidents if one.id in known]
        ended = [one for one in waiting if one.kind is Kind.RESOLUTION]
        ended += self._ledger.settled(self.name, Kind.RESOLUTION, now - ENDED_FOR_US)
        # What has vanished from the daemon's list cannot be held, but it was to be sent once.
        stands = {one.incident for one in standing}
        standing += [one for one in waiting if one.kind is Kind.OPENING and one.incident not in stands]
        return standing, ended, waiting


class HeartbeatCourier(Courier):
    """Pings after each evaluation; of several that wait, after the latest."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Take what every courier does."""
        super().__init__(*args, **named)
        self._pinged_at: Instant | None = None

    async def _turn(self) -> float | None:
        latest = self.latest
        if latest is None or latest.at == self._pinged_at:
            return None
        try:
            destination = await self._built()
            assert isinstance(destination, Heartbeat)  # noqa: S101 - who makes couriers has looked
            await self._called(destination.ping, latest.summary, is_well=latest.is_well)
        except DestinationGoneError as error:
            await self._note_gone(error)
        except DeliveryError as error:
            await self._note_failure(error)
        else:
            was_failing = bool(self.failing)
            self._pinged_at = latest.at
            self._note_success()
            if was_failing:
                await self._account.call(self._ledger.note_reached, self.name, self._clock.now())
        return 0.0
