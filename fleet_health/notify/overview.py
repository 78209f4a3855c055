"""The documents of `notify`: the state of the destinations, the history, and the results of test messages."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleet_health.errors import printable
from fleet_health.model.instant import SECOND_US, describe, isoformat
from fleet_health.model.words import plural
from fleet_health.notify.destination import Delivered, Heartbeat, LevelDestination
from fleet_health.notify.message import Kind, Message, Notification

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.destination import AnyDestination, DeliveryError
    from fleet_health.notify.ledger.standing import Record, Standing

VERSION = 1
"""The version of the documents. Keys may be added within a version; none is removed, and none changes its meaning."""

TEST_HOST, TEST_SYMPTOM = "test-host", "silent"
_TEST_HOLDS_FOR_US = 300 * SECOND_US


@dataclass(frozen=True, slots=True)
class Row:
    """The state of a destination.

    Attributes:
        settings: How it is configured.
        standing: Its state by the ledger.
        failing: Why the latest call by the running process failed; empty if it did not.
        success_at: The latest call by that process that was taken; None if there was none.
        calls: Outcome (`taken`, `failed`, `refused`, `gone`) -> how many calls by that process have had it.

    """

    settings: DestinationSettings
    standing: Standing
    failing: str = ""
    success_at: Instant | None = None
    calls: Mapping[str, int] = field(default_factory=dict)

    @property
    def last_success_at(self) -> Instant | None:
        """The latest call that was taken; None if none ever was."""
        return self.success_at or self.standing.last_success_at

    @property
    def is_failing(self) -> bool:
        """Whether the latest attempt failed."""
        return bool(self.failing) or self.standing.failing_since is not None

    @property
    def state(self) -> str:
        """Its state, in one word."""
        if self.standing.gone:
            return "disabled"
        if self.is_failing:
            return "failing"
        return "waiting" if self.standing.waiting else "ok"


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the process and of each destination.

    Attributes:
        at: The present.
        evaluated_at: The latest evaluation of the daemon; None if none is known.
        problems: The problems of the process itself, each in one line.
        destinations: Each destination.

    """

    at: Instant
    evaluated_at: Instant | None
    problems: Sequence[str]
    destinations: Sequence[Row]

    def document(self) -> dict[str, Any]:
        """Return the overview as a document."""
        return {
            "version": VERSION,
            "at_wall": isoformat(self.at),
            "last_tick_wall": _wall(self.evaluated_at),
            "problems": list(self.problems),
            "destinations": [
                {
                    "name": one.settings.name,
                    "type": one.settings.type,
                    "state": one.state,
                    "last_success_wall": _wall(one.last_success_at),
                    "waiting": one.standing.waiting,
                    "waiting_since_wall": _wall(one.standing.waiting_since),
                    "failing_since_wall": _wall(one.standing.failing_since if one.is_failing else None),
                    "last_error": one.failing or one.standing.last_error,
                    "last_error_wall": _wall(one.standing.last_error_at),
                    "dropped": one.standing.dropped,
                }
                for one in self.destinations
            ],
        }

    def line(self) -> str:
        """Return the overview in one line, for `systemctl status`."""
        if not self.destinations:
            return "; ".join(["No destination is configured", *map(printable, self.problems)])
        waiting = sum(one.standing.waiting for one in self.destinations)
        parts = [f"{plural(len(self.destinations), 'destination')}, {waiting or 'nothing'} waiting"]
        for one in self.destinations:
            if one.state == "ok":
                continue
            about = f"{one.settings.name} {one.state}"
            if one.standing.waiting and one.standing.waiting_since is not None:
                waited = describe(max(0, self.at - one.standing.waiting_since))
                about += f", {one.standing.waiting} waiting for {waited}"
            parts.append(about + (f": {one.failing}" if one.failing else ""))
        return "; ".join(map(printable, [*parts, *self.problems]))


def sample_message(now: Instant) -> Message:
    """Return a test message."""
    one = Notification(
        incident=f"test-{secrets.token_hex(4)}",
        kind=Kind.OPENING,
        host=TEST_HOST,
        symptom=TEST_SYMPTOM,
        detail="This is a test of fleet-health: no host is in trouble.",
        suggested_fix="Nothing is to be done.",
        opened_at=now,
        decided_at=now,
    )
    return Message(f"test-{secrets.token_hex(8)}", (one,), is_test=True)


def history_document(records: Sequence[Record]) -> dict[str, Any]:
    """Return the history as a document."""
    return {
        "version": VERSION,
        "notifications": [
            {
                "destination": one.destination,
                "kind": one.kind,
                "host": one.host,
                "symptom": one.symptom,
                "detail": one.detail,
                "state": one.state,
                "is_unannounced": one.is_unannounced,
                "queued_wall": isoformat(one.queued_at),
                "settled_wall": _wall(one.at),
                "attempts": one.attempts,
                "response": one.response,
                "reference": one.reference,
                "key": one.key,
            }
            for one in records
        ],
    }


def send_test(destination: AnyDestination, now: Instant) -> Delivered:
    """Send a test message to a destination of any type.

    Raises:
        DeliveryError: It was not taken.

    """
    message = sample_message(now)
    if isinstance(destination, Heartbeat):
        return destination.ping("a test", is_well=True)
    if isinstance(destination, LevelDestination):
        return destination.hold(message.notifications, (), now + _TEST_HOLDS_FOR_US, is_test=True)
    return destination.send(message)


def test_row(name: str, result: Delivered | DeliveryError) -> dict[str, Any]:
    """Return the result of a test message, as a JSON object."""
    is_delivered = isinstance(result, Delivered)
    return {
        "name": name,
        "is_delivered": is_delivered,
        "response": result.response if isinstance(result, Delivered) else str(result),
        "reference": result.reference if isinstance(result, Delivered) else "",
    }


def unknown_destination(name: str | None, known: Collection[str]) -> str:
    """Return why no test message can be sent, and what to do about it.

    Args:
        name: The destination that was asked for; None for all.
        known: The destinations that are configured.

    """
    if not known:
        return "no destination is configured: add a table [[destinations]] (`man fleet-health-config` shows its keys)"
    return f"expected the name of a destination ({', '.join(known)}), found {(name or '')[:80]!r}"


def _wall(at: Instant | None) -> str | None:
    return None if at is None else isoformat(at)
