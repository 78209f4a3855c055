"""Reconciliation: the difference between the daemon's incidents and the ledger of a destination. Pure.

The daemon decides that something is notified; here it is only decided to whom, and as which kind. What was missed
because of a kill, a lost network or a destination that was away is found the next time, so nothing is remembered but
the ledger.

    queued ──► sending ──► sent
      │  ▲        │
      │  └────────┤ it was surely not taken
      │           └─ refused: the destination will never take it
      ├─ merged: another notification replaces it
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

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.documents import Incident


class State(StrEnum):
    """The state of a notification."""

    QUEUED = "queued"
    """It waits, and was surely not taken."""
    SENDING = "sending"
    """Its message is being sent, or may have been taken without a response."""
    SENT = "sent"
    MERGED = "merged"
    WITHDRAWN = "withdrawn"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """A notification in the ledger.

    Attributes:
        incident: The id of its incident.
        kind: What it reports.
        decided_at: The evaluation that decided it. Incident, kind and this identify it.
        covers_until: The latest alert, loss or resolution of the incident that it stands for: a later one is another
            notification.
        state: Its state.
        is_unannounced: Whether it is a loss or a resolution that reports the opening too.

    """

    incident: str
    kind: Kind
    decided_at: Instant
    covers_until: Instant
    state: State
    is_unannounced: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """A notification is to be queued. It replaces an entry with the same incident, kind and instant.

    Attributes:
        notification: The notification.
        covers_until: The latest alert, loss or resolution that it stands for.

    """

    notification: Notification
    covers_until: Instant


@dataclass(frozen=True, slots=True)
class Settle:
    """An entry is not to be sent any more, and gets the state that says why."""

    entry: Entry
    state: State


@dataclass(frozen=True, slots=True)
class Cover:
    """An entry that waits is to stand for a later alert as well."""

    entry: Entry
    covers_until: Instant


Change: TypeAlias = Queue | Settle | Cover
"""A change to the ledger."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """What matters here of a destination.

    Attributes:
        settings: How it is configured.
        since: When it was first known. It is not sent what ended before that.
        is_level: Whether it is sent all incidents that stand at each evaluation. Then it is sent no repeats.

    """

    settings: DestinationSettings
    since: Instant
    is_level: bool = False

    def wants(self, kind: Kind) -> bool:
        """Return whether it is sent notifications of a kind."""
        return kind.value in self.settings.send and not (self.is_level and kind is Kind.REPEAT)

    def due_at(self, incident: Incident) -> Instant:
        """Return when an incident is sent to it, if it still stands then."""
        return incident.first_notified_at + self.settings.after_us


def changes(
    incidents: Iterable[Incident], entries: Mapping[str, Sequence[Entry]], recipient: Recipient, now: Instant
) -> list[Change]:
    """Return the changes to the ledger for one destination.

    Once they have been made, it returns nothing for the same incidents.

    Args:
        incidents: The incidents that were notified.
        entries: The entries of the destination, by the id of the incident.
        recipient: The destination.
        now: The present.

    """
    return [
        change
        for incident in incidents
        for change in _changes(incident, _Held(entries.get(incident.id, ())), recipient, now)
    ]


def successors(known: Iterable[tuple[str, Incident]], listed: Sequence[Incident]) -> dict[str, str]:
    """Return which incidents have another id now, because the daemon has lost its state: new id -> old id.

    Args:
        known: The open incidents of the ledger, each with the id by which the daemon listed it.
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


def is_opened(entries: Sequence[Entry]) -> bool:
    """Return whether an incident with these entries counts as open at the destination, or will when they are sent."""
    steps = _Held(entries).steps
    return bool(steps) and steps[-1].kind is Kind.OPENING


class _Held:
    """The ledger's entries of one incident for one destination."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._counted = [one for one in entries if one.state not in {State.MERGED, State.WITHDRAWN}]

    @property
    def waiting(self) -> list[Entry]:
        """The entries that wait."""
        return [one for one in self._counted if one.state is State.QUEUED]

    @property
    def steps(self) -> list[Entry]:
        """The openings and losses that are sent, or will be, in order."""
        found = [one for one in self._counted if one.kind in {Kind.OPENING, Kind.LOSS}]
        return sorted(found, key=lambda one: (one.decided_at, one.kind.rank))

    @property
    def covers_until(self) -> Instant | None:
        """The latest alert, loss or resolution that any entry stands for; None without an entry."""
        return max((one.covers_until for one in self._entries), default=None)

    @property
    def is_known(self) -> bool:
        """Whether the destination may know of the incident: by an opening, or a message that reports that too."""
        return any(
            one.kind is Kind.OPENING or one.is_unannounced
            for one in self._counted
            if one.state in {State.SENT, State.SENDING}
        )

    def closing(self, kind: Kind, at: Instant) -> Entry | None:
        """Return the entry of a loss or of the resolution; None if there is none.

        Args:
            kind: The kind. An incident resolves once, and may be lost several times.
            at: The evaluation that decided it.

        """
        for one in self._counted:
            if one.kind is kind and (kind is Kind.RESOLUTION or one.covers_until >= at):
                return one
        return None


def _changes(incident: Incident, held: _Held, recipient: Recipient, now: Instant) -> Iterator[Change]:
    if incident.resolved_at is not None:
        yield from _of_closed(incident, held, recipient, Kind.RESOLUTION, incident.resolved_at)
    elif incident.loss_notified_at is not None:
        yield from _of_closed(incident, held, recipient, Kind.LOSS, incident.loss_notified_at)
    elif incident.is_open:
        yield from _of_standing(incident, held, recipient, now)
    else:
        yield from (Settle(one, State.WITHDRAWN) for one in held.waiting)


def _of_standing(incident: Incident, held: _Held, recipient: Recipient, now: Instant) -> Iterator[Change]:
    """Yield the changes for an incident that stands."""
    is_sent = recipient.settings.takes(incident.host, incident.symptom) and now >= recipient.due_at(incident)
    last, steps = incident.last_notified_at, held.steps
    if steps and steps[-1].kind is Kind.LOSS and steps[-1].state is State.QUEUED:
        # Another alert came before the loss was delivered.
        yield Settle(steps[-1], State.MERGED)
        steps = steps[:-1]
    latest = steps[-1] if steps else None
    if recipient.wants(Kind.OPENING) and (latest is None or latest.kind is Kind.LOSS):
        if is_sent and not incident.is_over and (latest is None or last > latest.covers_until):
            at = incident.first_notified_at if latest is None else last
            yield Queue(notification(incident, Kind.OPENING, at), last)
        return
    if latest is not None and latest.state is State.QUEUED:
        if last > latest.covers_until:
            yield Cover(latest, last)
        return
    known = max(incident.first_notified_at, recipient.since) if held.covers_until is None else held.covers_until
    if recipient.wants(Kind.REPEAT) and is_sent and last > known:
        yield from (Settle(one, State.MERGED) for one in held.waiting if one.kind is Kind.REPEAT)
        yield Queue(notification(incident, Kind.REPEAT, last), last)


def _of_closed(incident: Incident, held: _Held, recipient: Recipient, kind: Kind, at: Instant) -> Iterator[Change]:
    """Yield the changes for an incident that has resolved, or whose host is lost: its loss or resolution is sent.

    It replaces everything that still waits. If the opening was not delivered, one message reports both.
    """
    closing = held.closing(kind, at)
    yield from (Settle(one, State.MERGED) for one in held.waiting if one is not closing)
    if closing is not None and closing.state is not State.QUEUED:
        return
    if not held.steps:
        is_of_before = at <= recipient.since or at < recipient.due_at(incident)
        if is_of_before or not recipient.settings.takes(incident.host, incident.symptom):
            return
    is_unannounced = recipient.wants(Kind.OPENING) and not held.is_known
    is_as_queued = closing is not None and closing.is_unannounced == is_unannounced
    if not is_as_queued and (is_unannounced or recipient.wants(kind)):
        yield Queue(notification(incident, kind, at, is_unannounced=is_unannounced), at)


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
