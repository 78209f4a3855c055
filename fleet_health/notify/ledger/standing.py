"""The state of each destination, and the history of what was sent, as commands show them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from fleet_health.model.instant import Instant


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a destination.

    Attributes:
        name: Its name.
        since: When it was first known.
        gone: Why nothing is sent until its configuration changes; empty if messages are sent.
        last_success_at: When it last took a message; None if it never did.
        failing_since: The first attempt that failed after the last one that was taken; None if the latest was taken.
        last_error: Why the latest failed attempt failed; empty if there was none.
        last_error_at: When that attempt was.
        dropped: How many notifications were dropped, because they had waited too long or it refused them.
        waiting: How many notifications wait.
        waiting_since: Since when the first of them waits; None if none does.

    """

    name: str
    since: Instant
    gone: str
    last_success_at: Instant | None
    failing_since: Instant | None
    last_error: str
    last_error_at: Instant | None
    dropped: int
    waiting: int = 0
    waiting_since: Instant | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A notification as the history shows it.

    Attributes:
        destination: The destination.
        kind: What it reports.
        host: The host of its incident.
        symptom: The symptom.
        detail: The figures, in one sentence.
        state: Its state; see `State`.
        queued_at: Since when it was to be sent.
        attempts: How many attempts there were.
        at: When it was settled; None if it waits.
        response: The response of the destination; empty if there is none yet.
        reference: The destination's own id for it; empty if there is none.
        key: The idempotency key of its message; empty if it was in none.
        is_unannounced: Whether it is a loss or a resolution that reports the opening too.

    """

    destination: str
    kind: str
    host: str
    symptom: str
    detail: str
    state: str
    queued_at: Instant
    attempts: int
    at: Instant | None
    response: str
    reference: str
    key: str
    is_unannounced: bool


def standings(connection: sqlite3.Connection) -> dict[str, Standing]:
    """Return the state of each destination that was ever known, by its name."""
    waiting = {
        name: (count, since)
        for name, count, since in connection.execute(
            "SELECT destination, count(*), min(queued_at) FROM notifications WHERE state IN ('queued', 'sending')"
            " GROUP BY destination"
        )
    }
    rows = connection.execute(
        "SELECT name, since, gone, last_success_at, failing_since, last_error, last_error_at, dropped"
        " FROM destinations ORDER BY name"
    )
    found = {}
    for one in (Standing(*row) for row in rows):
        count, since = waiting.get(one.name, (0, None))
        found[one.name] = replace(one, waiting=count, waiting_since=since)
    return found


def history(connection: sqlite3.Connection, host: str | None, limit: int) -> list[Record]:
    """Return the recent notifications, the latest first; only those about a host unless it is None."""
    rows = connection.execute(
        "SELECT n.destination, n.kind, n.host, n.symptom, n.detail, n.state, n.queued_at, n.attempts, n.at,"
        " coalesce(m.response, ''), coalesce(m.reference, ''), coalesce(n.message, ''), n.is_unannounced"
        " FROM notifications n LEFT JOIN messages m ON m.key = n.message"
        " WHERE ?1 IS NULL OR n.host = ?1 ORDER BY n.queued_at DESC, n.decided_at DESC LIMIT ?2",
        (host, limit),
    )
    return [Record(*[*row[:-1], bool(row[-1])]) for row in rows]
