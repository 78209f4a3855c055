"""The interface of destinations, whatever their type.

A destination is called in a thread of its own, one call at a time, and must return or raise within its timeout. It
records nothing, because the ledger does. It never logs, and no text that it returns or raises holds a secret.
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
    """The result of a message that a destination has taken.

    Attributes:
        response: Its response in one short line, for the history: `202 Accepted`, `250 2.0.0 Ok: queued as 4F2A`.
        reference: The destination's own id for the message; empty if it gives none.

    """

    response: str
    reference: str = ""


class DeliveryError(FleetHealthError):
    """A message was not delivered, and may be at another attempt; `str()` names the server and the reason.

    Attributes:
        retry_after_s: After how many seconds the destination asks to try again; None if it does not ask.
        is_response_lost: Whether it may have been taken all the same, because all of it was sent and no response came,
            as with a timeout or a reset. Then exactly the same message is sent again, with the same key.

    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, is_response_lost: bool = False) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.is_response_lost = is_response_lost


class RefusedMessageError(DeliveryError):
    """The destination will never take this message, but may take others."""


class DestinationGoneError(DeliveryError):
    """The destination takes nothing any more, until its configuration changes."""


@runtime_checkable
class Destination(Protocol):
    """A destination that is sent messages, one after the other."""

    takes_groups: ClassVar[bool]
    """Whether one message may report several incidents: true where a person reads it."""

    def send(self, message: Message) -> Delivered:
        """Deliver a message.

        Raises:
            DeliveryError: It was not taken.

        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


@runtime_checkable
class LevelDestination(Protocol):
    """A destination that is sent all incidents that stand at each evaluation, such as Alertmanager."""

    def hold(
        self,
        standing: Sequence[Notification],
        ended: Sequence[Notification],
        expires_at: Instant,
        *,
        is_test: bool = False,
    ) -> Delivered:
        """Deliver all incidents that stand, and recent losses and resolutions.

        Args:
            standing: The opening of each incident that is notified, is not over, and whose host is not lost.
            ended: The loss or resolution of each other one, if it is of the last 15 minutes or not delivered yet.
            expires_at: Until when the incidents count as standing if nothing newer is sent.
            is_test: Whether an operator asked for it to try the destination. It must be marked as a test.

        Raises:
            DeliveryError: It was not taken.

        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


@runtime_checkable
class Heartbeat(Protocol):
    """A URL that is pinged after each evaluation, so that an outside service notices when the pings stop."""

    def ping(self, summary: str, *, is_well: bool) -> Delivered:
        """Report that the daemon has evaluated.

        Args:
            summary: One line: the problems of the daemon, or how many incidents stand.
            is_well: Whether the daemon was neither blind nor failing.

        Raises:
            DeliveryError: It was not taken.

        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


AnyDestination: TypeAlias = Destination | LevelDestination | Heartbeat
"""A destination of any type."""

Build: TypeAlias = "Callable[[DestinationSettings], AnyDestination]"
"""Makes a destination from its settings. Raises `DeliveryError` if a secret is missing, for example."""
