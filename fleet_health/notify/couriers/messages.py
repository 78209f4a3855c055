"""The courier of a destination that takes messages, one after the other.

A message is recorded before it is sent. If it was surely not taken, its notifications wait again, and can be sent
together with newer ones. If it may have been taken, exactly the same message is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.couriers.caller import unexpected
from fleet_health.notify.couriers.courier import Courier
from fleet_health.notify.destination import DeliveryError, Destination, RefusedMessageError
from fleet_health.notify.grouping import next_turn

if TYPE_CHECKING:
    from fleet_health.notify.destination import Delivered
    from fleet_health.notify.message import Message

_FEW = 50
_BATCH_S = 2.0
_log = structlog.get_logger("fleet_health.notify")


@dataclass(frozen=True, slots=True)
class _Sent:
    """The result of sending some messages.

    Attributes:
        taken: How many were taken.
        wait_s: After how many seconds to look again; None to wait for `wake`.
        message: The message that was not taken, if there was one.
        error: Why it was not taken.

    """

    taken: int
    wait_s: float | None
    message: Message | None = None
    error: DeliveryError | None = None


class MessageCourier(Courier):
    """Sends messages, one after the other."""

    async def _send(self) -> float | None:
        destination = await self._caller.destination()
        assert isinstance(destination, Destination)  # noqa: S101 - its type has this courier
        sent = await self._caller.call(self._send_some, destination)
        self._message = sent.message
        if sent.taken:
            self._note_success(sent.taken)
        if sent.error is None:
            return sent.wait_s
        if sent.message is None or not isinstance(sent.error, RefusedMessageError):
            raise sent.error
        await self._drop(sent.message, str(sent.error))
        return 0.0

    async def _drop(self, message: Message, reason: str) -> None:
        """Drop a message that the destination refused; log why."""
        self._retry.succeed()
        self.calls["refused"] += 1
        _log.error(
            "notification refused and dropped",
            destination=self.name,
            reason=reason,
            notifications=len(message.notifications),
        )
        await self._ledger_thread.call(self._outbox.note_refused, message, reason, self._clock.now())

    def _send_some(self, destination: Destination) -> _Sent:
        """Send what waits, for a while. Each response is recorded before the next message is sent.

        This runs in the destination's thread, so that no message of a thousand has to wait for the event loop.
        """
        ends_at, taken = self._clock.monotonic() + _BATCH_S, 0
        last: tuple[Message, Delivered] | None = None
        while True:
            is_enough = last is not None and (self._is_ending or self._clock.monotonic() > ends_at)
            step = partial(self._record_and_begin, last, destination, is_enough=is_enough)
            message, wait_s = self._outbox.together(step)
            if message is None:
                return _Sent(taken, wait_s)
            try:
                last = message, destination.send(message)
            except DeliveryError as error:
                return _Sent(taken, 0.0, message, error)
            except Exception as error:  # noqa: BLE001 - it must not end the process
                return _Sent(taken, 0.0, message, unexpected(error))
            taken += 1

    def _record_and_begin(
        self, last: tuple[Message, Delivered] | None, destination: Destination, *, is_enough: bool
    ) -> tuple[Message | None, float | None]:
        """Record that the last message was taken, and begin the next one unless it is enough: with one write."""
        if last is not None:
            self._outbox.note_delivered(*last, self._clock.now())
        return (None, 0.0) if is_enough else self._next(takes_groups=destination.takes_groups)

    def _next(self, *, takes_groups: bool) -> tuple[Message | None, float | None]:
        """Return the next message, which is now recorded as being sent; or None and the seconds until the next look."""
        outbox, settings, now = self._outbox, self.settings, self._clock.now()
        if (message := outbox.unfinished()) is not None:
            return message, 0.0
        waiting = outbox.waiting(-1 if takes_groups else _FEW)
        sent_at = outbox.sent_since(now - settings.rate_limit[1]) if waiting and settings.rate_limit else ()
        turn = next_turn(waiting, sent_at, settings, now, takes_groups=takes_groups)
        if turn.message is None:
            return None, None if turn.at is None else max(0.01, (turn.at - now) / SECOND_US)
        outbox.begin(turn.message, now)
        return turn.message, 0.0
