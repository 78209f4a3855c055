"""Messages to a destination: one notification about an incident, or several. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant


class Kind(StrEnum):
    """What a notification reports about its incident. Those that need action come first."""

    OPENING = "opening"
    REPEAT = "repeat"
    LOSS = "lost"
    """Its host is lost: nothing more is sent about it until another alert, or its resolution."""
    RESOLUTION = "resolution"

    @property
    def rank(self) -> int:
        """Its place in the order of the kinds."""
        return tuple(Kind).index(self)

    @property
    def is_closing(self) -> bool:
        """Whether nothing is expected to follow it."""
        return self in {Kind.LOSS, Kind.RESOLUTION}


@dataclass(frozen=True, slots=True)
class Notification:
    """What one destination is to be sent about one incident.

    Attributes:
        incident: The id of the incident, the same for all its notifications.
        kind: What it reports.
        host: The host; `*` or `*@NAME` for a receiver.
        symptom: The symptom, such as `silent`.
        detail: One sentence with the figures; empty if it is not known any more.
        suggested_fix: What to do, in one or two sentences; empty if it is not known any more.
        opened_at: The evaluation that found the incident first, in microseconds since 1970, as all instants.
        decided_at: The evaluation that decided this notification.
        ended_at: Since when the incident is over; None while it is open.
        is_unannounced: Whether it is a loss or a resolution whose opening has not been delivered, so that it must
            report both.

    """

    incident: str
    kind: Kind
    host: str
    symptom: str
    detail: str
    suggested_fix: str
    opened_at: Instant
    decided_at: Instant
    ended_at: Instant | None = None
    is_unannounced: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message: the notifications that are delivered together.

    Attributes:
        key: The idempotency key: the same at each attempt, different for each message.
        notifications: The notifications, at least one; more than one only if the destination takes groups.
        delayed: How many notifications the rate limit has delayed; they are among `notifications`.
        is_test: Whether an operator asked for it to try the destination. It must be marked as a test.

    """

    key: str
    notifications: tuple[Notification, ...]
    delayed: int = 0
    is_test: bool = False
