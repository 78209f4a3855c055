"""What one destination is to be sent, is being sent, and was sent.

A message is recorded as `sending` before the first attempt. So a kill between the response and its record sends the
same message again, with the same key; and nothing else is ever sent twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fleet_health.notify.destination import Delivered
from fleet_health.notify.grouping import Waiting
from fleet_health.notify.ledger.rows import IN_ORDER, NOTIFICATION, notification
from fleet_health.notify.message import Kind, Message
from fleet_health.notify.reconcile import Change, Cover, Entry, Queue, Settle, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from fleet_health.model.instant import Instant
    from fleet_health.notify.ledger.store import Store
    from fleet_health.notify.message import Notification

T = TypeVar("T")

_THE = "WHERE destination = ? AND incident = ? AND kind = ? AND decided_at = ?"


class Outbox:
    """The notifications and messages of a destination. Each method is one transaction."""

    def __init__(self, store: Store, destination: str) -> None:
        self._store = store
        self._destination = destination

    def together(self, work: Callable[[], T]) -> T:
        """Do some work in one transaction; it may be done twice. Return what it returns."""
        return self._store.run(lambda _: work())

    def entries(self) -> dict[str, list[Entry]]:
        """Return the entries, by the incident."""

        def work(connection: sqlite3.Connection) -> dict[str, list[Entry]]:
            found: dict[str, list[Entry]] = {}
            for incident, kind, decided_at, covers_until, state, is_unannounced in connection.execute(
                "SELECT incident, kind, decided_at, covers_until, state, is_unannounced FROM notifications"
                " WHERE destination = ?",
                (self._destination,),
            ):
                entry = Entry(incident, Kind(kind), decided_at, covers_until, State(state), bool(is_unannounced))
                found.setdefault(incident, []).append(entry)
            return found

        return self._store.run(work)

    def apply(self, changes: Iterable[Change], now: Instant) -> None:
        """Make changes to what the destination is to be sent."""

        def work(connection: sqlite3.Connection) -> None:
            for change in changes:
                if isinstance(change, Queue):
                    self._queue(connection, change, now)
                    continue
                one = change.entry
                named = (self._destination, one.incident, one.kind, one.decided_at)
                if isinstance(change, Settle):
                    connection.execute(
                        f"UPDATE notifications SET state = ?, at = ? {_THE}", (change.state, now, *named)
                    )
                elif isinstance(change, Cover):
                    connection.execute(
                        f"UPDATE notifications SET covers_until = ? {_THE}", (change.covers_until, *named)
                    )

        self._store.run(work)

    def unfinished(self) -> Message | None:
        """Return the message that has no recorded response yet; None if there is none."""

        def work(connection: sqlite3.Connection) -> Message | None:
            found = connection.execute(
                "SELECT key, delayed FROM messages WHERE destination = ? AND state = 'sending' ORDER BY began_at"
                " LIMIT 1",
                (self._destination,),
            ).fetchone()
            if found is None:
                return None
            key, delayed = found
            query = f"SELECT {NOTIFICATION} FROM notifications WHERE message = ? {IN_ORDER}"
            return Message(key, tuple(map(notification, connection.execute(query, (key,)))), delayed)

        return self._store.run(work)

    def waiting(self, limit: int = -1) -> list[Waiting]:
        """Return the notifications that wait, in the order of the decisions; at most `limit`, -1 for all of them."""

        def work(connection: sqlite3.Connection) -> list[Waiting]:
            query = (
                f"SELECT queued_at, {NOTIFICATION} FROM notifications WHERE destination = ? AND state = 'queued'"
                f" {IN_ORDER} LIMIT ?"
            )
            rows = connection.execute(query, (self._destination, limit))
            return [Waiting(notification(row), at) for at, *row in rows]

        return self._store.run(work)

    def closings_since(self, since: Instant) -> list[Notification]:
        """Return the losses and resolutions that were sent since an instant."""

        def work(connection: sqlite3.Connection) -> list[Notification]:
            query = (
                f"SELECT {NOTIFICATION} FROM notifications WHERE destination = ? AND state = 'sent' AND at > ?"
                f" {IN_ORDER}"
            )
            sent = map(notification, connection.execute(query, (self._destination, since)))
            return [one for one in sent if one.kind.is_closing]

        return self._store.run(work)

    def sent_since(self, since: Instant) -> list[Instant]:
        """Return when messages were taken, from an instant on."""

        def work(connection: sqlite3.Connection) -> list[Instant]:
            query = "SELECT at FROM messages WHERE destination = ? AND state = 'sent' AND at > ?"
            return [at for (at,) in connection.execute(query, (self._destination, since))]

        return self._store.run(work)

    def begin(self, message: Message, now: Instant) -> None:
        """Record that a message is being sent."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, 'sending', ?, NULL, '', '', 0)",
                (message.key, self._destination, message.delayed, now),
            )
            connection.executemany(
                f"UPDATE notifications SET state = 'sending', message = ? {_THE}",
                [(message.key, *self._name(one)) for one in message.notifications],
            )

        self._store.run(work)

    def note_delivered(self, message: Message, delivered: Delivered, now: Instant) -> None:
        """Record that the destination has taken a message."""

        def work(connection: sqlite3.Connection) -> None:
            self.note_reached(now)
            _finish(connection, message.key, State.SENT, delivered, now)

        self._store.run(work)

    def note_held(self, message: Message, delivered: Delivered, now: Instant) -> None:
        """Record that the destination has taken the whole set, with the notifications of a message in it."""

        def work() -> None:
            self.begin(message, now)
            self.note_delivered(message, delivered, now)

        self.together(work)

    def note_reached(self, now: Instant) -> None:
        """Record that the latest call of the destination succeeded."""
        query = "UPDATE destinations SET last_success_at = ?, failing_since = NULL WHERE name = ?"
        self._store.run(lambda connection: connection.execute(query, (now, self._destination)))

    def note_failed(self, message: Message | None, reason: str, now: Instant, *, is_response_lost: bool) -> None:
        """Record that an attempt failed.

        If no attempt can have been taken, the notifications of the message wait again by themselves. Otherwise the same
        message is sent again.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE destinations SET failing_since = coalesce(failing_since, ?), last_error = ?, last_error_at = ?"
                " WHERE name = ?",
                (now, reason, now, self._destination),
            )
            if message is None:
                return
            connection.execute("UPDATE notifications SET attempts = attempts + 1 WHERE message = ?", (message.key,))
            if is_response_lost:
                connection.execute("UPDATE messages SET may_be_taken = 1 WHERE key = ?", (message.key,))
            else:
                _dissolve_untaken(connection, message.key)

        self._store.run(work)

    def note_refused(self, message: Message, reason: str, now: Instant) -> None:
        """Record that the destination will never take a message."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE destinations SET dropped = dropped + ?, last_error = ?, last_error_at = ? WHERE name = ?",
                (len(message.notifications), reason, now, self._destination),
            )
            _finish(connection, message.key, State.REFUSED, Delivered(reason), now)

        self._store.run(work)

    def note_gone(self, message: Message | None, reason: str, now: Instant) -> None:
        """Record that nothing is to be sent to the destination until its configuration changes."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE destinations SET gone = ? WHERE name = ?", (reason, self._destination))
            self.note_failed(message, reason, now, is_response_lost=False)

        self._store.run(work)

    def give_up(self, before: Instant, now: Instant) -> int:
        """Drop what has waited since before an instant; return how many notifications that were."""

        def work(connection: sqlite3.Connection) -> int:
            where = "destination = ? AND state IN ('queued', 'sending') AND queued_at < ?"
            keys = connection.execute(
                f"SELECT DISTINCT message FROM notifications WHERE {where} AND state = 'sending'",
                (self._destination, before),
            ).fetchall()
            for (key,) in keys:
                _dissolve(connection, key)
            count = connection.execute(
                f"UPDATE notifications SET state = 'dropped', at = ? WHERE {where}", (now, self._destination, before)
            ).rowcount
            connection.execute(
                "UPDATE destinations SET dropped = dropped + ? WHERE name = ?", (count, self._destination)
            )
            return count

        return self._store.run(work)

    def _name(self, one: Notification) -> tuple[str, str, str, Instant]:
        return self._destination, one.incident, one.kind, one.decided_at

    def _queue(self, connection: sqlite3.Connection, change: Queue, now: Instant) -> None:
        one = change.notification
        connection.execute(
            "INSERT OR REPLACE INTO notifications"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, 0, NULL, NULL)",
            (
                *self._name(one),
                change.covers_until,
                one.host,
                one.symptom,
                one.detail,
                one.suggested_fix,
                one.opened_at,
                one.ended_at,
                one.is_unannounced,
                now,
            ),
        )


def make_consistent(connection: sqlite3.Connection) -> None:
    """Repair the ledger after a kill, or after rows were lost with a damaged file.

    A message that was being sent may have been taken. One without its notifications is removed, and a notification
    without its message waits again.
    """
    connection.execute("UPDATE messages SET may_be_taken = 1 WHERE state = 'sending'")
    connection.execute(
        "DELETE FROM messages WHERE state = 'sending' AND key NOT IN (SELECT message FROM notifications WHERE"
        " message IS NOT NULL AND state = 'sending')"
    )
    connection.execute(
        "UPDATE notifications SET state = 'queued', message = NULL WHERE state = 'sending' AND (message IS NULL OR"
        " message NOT IN (SELECT key FROM messages WHERE state = 'sending'))"
    )


def _dissolve(connection: sqlite3.Connection, key: str) -> None:
    """Let the notifications of a message wait by themselves again."""
    connection.execute("UPDATE notifications SET state = 'queued', message = NULL WHERE message = ?", (key,))
    connection.execute("DELETE FROM messages WHERE key = ?", (key,))


def _dissolve_untaken(connection: sqlite3.Connection, key: str) -> None:
    """Let the notifications of a message wait by themselves again if no attempt can have been taken."""
    if connection.execute("SELECT 1 FROM messages WHERE key = ? AND NOT may_be_taken", (key,)).fetchone():
        _dissolve(connection, key)


def _finish(connection: sqlite3.Connection, key: str, state: State, delivered: Delivered, now: Instant) -> None:
    connection.execute(
        "UPDATE messages SET state = ?, response = ?, reference = ?, at = ? WHERE key = ?",
        (state, delivered.response, delivered.reference, now, key),
    )
    connection.execute(
        "UPDATE notifications SET state = ?, at = ?, attempts = attempts + 1 WHERE message = ?", (state, now, key)
    )
