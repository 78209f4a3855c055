"""Reconciliation: the difference between the daemon's incidents and the ledger of a destination. Pure.

The daemon decides that something is notified; here it is only decided to whom, and as what. So whatever was missed, by
a kill, a lost network or a destination that was away, is found at the next look, and nothing is remembered but the
ledger.

    queued ──► sending ──► sent
      │  ▲        │
      │  └────────┤ it was surely not taken
      │           └─ refused: the destination will never take it
      ├─ merged: another notification reports it as well
      ├─ withdrawn: the daemon dropped the incident
      └─ dropped: it has waited for too long
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from fleet_health.notify.message import Kind, Notification

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fleet_health.config.destinations import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.documents import Incident


class State(StrEnum):
    """How a notification stands."""

    QUEUED = "queued"
    """It waits, and was surely not taken yet."""
    SENDING = "sending"
    """It is part of a message that is being sent, or whose answer is not known."""
    SENT = "sent"
    MERGED = "merged"
    WITHDRAWN = "withdrawn"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger holds of a notification.

    Attributes:
        incident: The id of its incident.
        kind: What it reports.
        decided_at: The evaluation that decided it; with the kind it names it among those of its incident.
        covers_until: The latest alert of the incident that it stands for: a later one is another notification.
        state: How it stands.
        is_unannounced: Whether it is a resolution that reports the opening too.

    """

    incident: str
    kind: Kind
    decided_at: Instant
    covers_until: Instant
    state: State
    is_unannounced: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """A notification is to be queued, in the place of one that has the same incident, kind and instant.

    Attributes:
        notification: The notification.
        covers_until: As of an `Entry`.

    """

    notification: Notification
    covers_until: Instant


@dataclass(frozen=True, slots=True)
class Settle:
    """An entry is not sent any more."""

    entry: Entry
    state: State


@dataclass(frozen=True, slots=True)
class Cover:
    """An entry that still waits stands for a later alert as well."""

    entry: Entry
    covers_until: Instant


Change: TypeAlias = Queue | Settle | Cover
"""Changes to the ledger."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A destination as far as it matters here.

    Attributes:
        settings: How it is configured.
        since: When it was first known: it is not sent what ended before.
        is_level: Whether it is sent the whole set at each evaluation, so that a repeat means nothing to it.

    """

    settings: DestinationSettings
    since: Instant
    is_level: bool = False

    def wants(self, kind: Kind) -> bool:
        """Return whether it is sent notifications of a kind."""
        return kind.value in self.settings.send and not (self.is_level and kind is Kind.REPEAT)

    def due_at(self, incident: Incident) -> Instant:
        """Return from when on an incident is sent to it, if it still stands then."""
        return incident.first_notified_at + self.settings.after_us


def changes(
    incidents: Iterable[Incident], entries: Mapping[str, Sequence[Entry]], recipient: Recipient, now: Instant
) -> list[Change]:
    """Return the changes to the ledger for one destination.

    Done, it returns nothing for the same incidents.

    Args:
        incidents: The incidents that were notified.
        entries: What the ledger holds of the destination, by the id of the incident.
        recipient: The destination.
        now: The present.

    """
    return [
        change
        for incident in incidents
        for change in _changes(incident, _Held(entries.get(incident.id, ())), recipient, now)
    ]


def successors(known: Iterable[tuple[str, Incident]], listed: Sequence[Incident]) -> dict[str, str]:
    """Return which incidents go on under another id, because the daemon has lost what it had saved: new id -> old id.

    Args:
        known: The open incidents that are known, each behind the id by which the daemon lists it.
        listed: What the daemon lists.

    """
    ids = {one.id for one in listed}
    aliases = {alias for alias, _ in known}
    vanished = {(one.host, one.symptom): alias for alias, one in known if alias not in ids}
    return {
        one.id: vanished[one.host, one.symptom]
        for one in listed
        if one.is_open and one.id not in aliases and (one.host, one.symptom) in vanished
    }


class _Held:
    """What the ledger holds of one incident for one destination."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.opening = next((one for one in entries if one.kind is Kind.OPENING), None)
        self.resolution = next((one for one in entries if one.kind is Kind.RESOLUTION), None)
        self.waiting = [one for one in entries if one.state is State.QUEUED]
        self.covers_until = max((one.covers_until for one in entries), default=None)

    @property
    def waiting_repeats(self) -> list[Entry]:
        return [one for one in self.waiting if one.kind is Kind.REPEAT]


def _changes(incident: Incident, held: _Held, recipient: Recipient, now: Instant) -> Iterator[Change]:
    if incident.is_open:
        yield from _of_standing(incident, held, recipient, now)
    elif incident.resolved_at is None:
        yield from (Settle(one, State.WITHDRAWN) for one in held.waiting)
    else:
        yield from _of_resolved(incident, held, recipient, incident.resolved_at)


def _of_standing(incident: Incident, held: _Held, recipient: Recipient, now: Instant) -> Iterator[Change]:
    """Return what follows for an incident that stands."""
    is_sent = recipient.settings.takes(incident.host, incident.symptom) and now >= recipient.due_at(incident)
    last = incident.last_notified_at
    if held.opening is None and recipient.wants(Kind.OPENING):
        if is_sent and not incident.is_over:
            yield Queue(notification(incident, Kind.OPENING, incident.first_notified_at), last)
        return
    if held.opening is not None and held.opening.state is State.QUEUED:
        if last > held.opening.covers_until:
            yield Cover(held.opening, last)
        return
    known = max(incident.first_notified_at, recipient.since) if held.covers_until is None else held.covers_until
    if recipient.wants(Kind.REPEAT) and is_sent and last > known:
        yield from (Settle(one, State.MERGED) for one in held.waiting_repeats)
        yield Queue(notification(incident, Kind.REPEAT, last), last)


def _of_resolved(incident: Incident, held: _Held, recipient: Recipient, resolved_at: Instant) -> Iterator[Change]:
    """Return what follows for an incident that is over."""
    yield from (Settle(one, State.MERGED) for one in held.waiting_repeats)
    opening, resolution = held.opening, held.resolution
    if opening is not None and opening.state is State.QUEUED:
        # It resolved before it was delivered: one message reports both.
        yield Settle(opening, State.MERGED)
        if resolution is None or resolution.state is State.QUEUED:
            yield Queue(notification(incident, Kind.RESOLUTION, resolved_at, is_unannounced=True), resolved_at)
        return
    if resolution is not None:
        return
    if opening is None:
        is_of_before = resolved_at <= recipient.since or resolved_at < recipient.due_at(incident)
        if is_of_before or not recipient.settings.takes(incident.host, incident.symptom):
            return
        if recipient.wants(Kind.OPENING):
            yield Queue(notification(incident, Kind.RESOLUTION, resolved_at, is_unannounced=True), resolved_at)
            return
    if recipient.wants(Kind.RESOLUTION):
        is_undelivered = opening is not None and opening.state not in {State.SENT, State.SENDING}
        yield Queue(notification(incident, Kind.RESOLUTION, resolved_at, is_unannounced=is_undelivered), resolved_at)


def notification(incident: Incident, kind: Kind, decided_at: Instant, *, is_unannounced: bool = False) -> Notification:
    """Return what a destination is sent about an incident."""
    return Notification(
        incident=incident.id,
        kind=kind,
        host=incident.host,
        symptom=incident.symptom,
        detail=incident.detail,
        suggested_fix=incident.suggested_fix,
        opened_at=incident.opened_at,
        decided_at=decided_at,
        ended_at=incident.ended_at,
        is_unannounced=is_unannounced,
    )
