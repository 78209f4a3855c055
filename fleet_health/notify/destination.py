"""The interface of destinations, whatever their type.

A destination is called in a thread of its own, one call at a time, and must return or raise within its timeout. It
keeps no record: the ledger does. It never logs, and no text that it returns or raises holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias, runtime_checkable

from fleet_health.errors import FleetHealthError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.message import Message, Notification


@dataclass(frozen=True, slots=True)
class Delivered:
    """A destination has taken a message.

    Attributes:
        response: Its response in one short line, for the history: `202 Accepted`, `250 2.0.0 Ok: queued as 4F2A`.
        reference: The destination's own id for the message; empty if it gives none.

    """

    response: str
    reference: str = ""


class DeliveryError(FleetHealthError):
    """A message was not delivered, but may be at another attempt; `str()` says what was tried and what came back.

    Attributes:
        retry_after_s: For how many seconds the destination asks to be left alone; None if it does not say.
        is_response_lost: Whether it may have been taken all the same, because all of it was sent and no response came,
            as with a timeout or a reset. Then exactly the same message is sent again, with the same key.

    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, is_response_lost: bool = False) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.is_response_lost = is_response_lost


class RefusedMessageError(DeliveryError):
    """A message will never be taken as it is; another one may be."""


class DestinationGoneError(DeliveryError):
    """The destination takes nothing any more, until its configuration changes."""


@runtime_checkable
class Destination(Protocol):
    """Where messages are sent, one after the other."""

    takes_groups: ClassVar[bool]
    """Whether one message may report several incidents: true where a person reads it."""

    def send(self, message: Message) -> Delivered:
        """Deliver a message.

        Raises:
            DeliveryError: It was not taken.

        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class LevelDestination(Protocol):
    """Where the whole set of open incidents is sent at each evaluation, as Alertmanager wants it."""

    def hold(
        self,
        standing: Sequence[Notification],
        ended: Sequence[Notification],
        expires_at: Instant,
        *,
        is_test: bool = False,
    ) -> Delivered:
        """Deliver the open incidents and those that ended recently.

        Args:
            standing: The opening of each incident that is notified, is not over, and whose host is not lost.
            ended: The loss or resolution of each other one, if it is of the last 15 minutes or not delivered yet.
            expires_at: Until when this holds if nothing newer is sent.
            is_test: Whether an operator asked for it to try the destination. It must be marked as a test.

        Raises:
            DeliveryError: It was not taken.

        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Heartbeat(Protocol):
    """A URL that is pinged after each evaluation, so that an outside service notices when the pings stop."""

    def ping(self, summary: str, *, is_well: bool) -> Delivered:
        """Report that the daemon has evaluated.

        Args:
            summary: How it fares, in one line.
            is_well: Whether it was neither blind nor failing.

        Raises:
            DeliveryError: It was not taken.

        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


AnyDestination: TypeAlias = Destination | LevelDestination | Heartbeat
"""A destination of whatever type."""

Build: TypeAlias = "Callable[[DestinationSettings], AnyDestination]"
"""Makes a destination as it is configured; raises `DeliveryError` if that cannot be now, as with a missing secret."""
