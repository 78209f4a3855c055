"""Which waiting notifications of a destination are its next message, and when it is sent. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.notify.message import Kind, Message, Notification

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notification that waits.

    Attributes:
        notification: The notification.
        queued_at: Since when it waits.

    """

    notification: Notification
    queued_at: Instant


@dataclass(frozen=True, slots=True)
class Turn:
    """What a destination does next.

    Attributes:
        message: The message to send now; None if there is none.
        at: When to look again if there is none; None if only a new notification can change that.

    """

    message: Message | None = None
    at: Instant | None = None


def next_turn(
    waiting: Sequence[Waiting],
    sent_at: Sequence[Instant],
    settings: DestinationSettings,
    now: Instant,
    *,
    takes_groups: bool,
) -> Turn:
    """Return what a destination does next.

    Where a person reads the messages, all waiting notifications of one kind are one message. If the rate limit has
    delayed some, all waiting notifications are.

    Args:
        waiting: The notifications that wait.
        sent_at: When messages were sent within the time of the rate limit; in any order.
        settings: How the destination is configured.
        now: The present.
        takes_groups: Whether one message may report several incidents.

    """
    ordered = sorted(waiting, key=_place)
    ready_at = _ready_at(ordered, settings)
    ready = [one for one in ordered if ready_at[one.notification.kind] <= now]
    if not ready:
        return Turn(at=min(ready_at.values(), default=None))
    free_at = _free_at(sent_at, settings.rate_limit, now)
    if free_at is not None and free_at > now:
        return Turn(at=free_at)
    delayed = 0
    if free_at is not None:
        delayed = sum(max(one.queued_at, ready_at[one.notification.kind]) < free_at for one in ready)
    if not takes_groups:
        chosen = [ready[0].notification]
        return Turn(Message(key_of(settings.name, chosen), tuple(chosen)))
    kind = ready[0].notification.kind
    chosen = [one.notification for one in ready if delayed or one.notification.kind is kind]
    return Turn(Message(key_of(settings.name, chosen), tuple(chosen), delayed))


def _place(one: Waiting) -> tuple[object, ...]:
    """Return the sort key: the decision, then the kind, then the host; `*` comes before the names of hosts."""
    sent = one.notification
    return sent.decided_at, sent.kind.rank, sent.host, sent.symptom


def key_of(destination: str, notifications: Iterable[Notification]) -> str:
    """Return the idempotency key of a message, which depends only on the destination and the notifications.

    So it is the same when a message is sent again because the ledger was lost.
    """
    named = sorted(f"{one.incident}|{one.kind}|{one.decided_at}" for one in notifications)
    return hashlib.sha256("\n".join([destination, *named]).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _ready_at(ordered: Sequence[Waiting], settings: DestinationSettings) -> dict[Kind, Instant]:
    """Return when the notifications of each kind may be sent. An opening waits for others, for `group_wait`."""
    at: dict[Kind, Instant] = {}
    for one in ordered:
        wait_us = settings.group_wait_us if one.notification.kind is Kind.OPENING else 0
        kind = one.notification.kind
        at[kind] = min(at.get(kind, one.queued_at + wait_us), one.queued_at + wait_us)
    return at


def _free_at(sent_at: Sequence[Instant], limit: tuple[int, int] | None, now: Instant) -> Instant | None:
    """Return from when on the rate limit allows another message; None if fewer messages were sent than it allows.

    A message with a time after `now` was sent before the clock was set back, and does not count.
    """
    if limit is None:
        return None
    count, within_us = limit
    latest = sorted(at for at in sent_at if at <= now)[-count:]
    return latest[0] + within_us if len(latest) == count else None
