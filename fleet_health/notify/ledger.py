"""The ledger: what each destination is to be sent, what it was sent, and what came of it.

A message is recorded as `sending` before the first attempt. So a kill between the response and its record sends the
same message again, with the same key; and nothing else is ever sent twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from fleet_health.model.instant import HOUR_US
from fleet_health.notify.destination import Delivered
from fleet_health.notify.documents import Incident
from fleet_health.notify.grouping import Waiting
from fleet_health.notify.message import Kind, Message, Notification
from fleet_health.notify.reconcile import Change, Cover, Entry, Queue, Settle, State, successors
from fleet_health.notify.store import Store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from fleet_health.model.instant import Instant

T = TypeVar("T")

FILE = "ledger.db"
KEPT_US = 30 * 24 * HOUR_US
"""For how long settled notifications are kept for `history`, in microseconds."""
KEPT_COUNT = 100_000
"""How many settled notifications are kept: the latest."""

_VERSION = 2


def _among(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


_SCHEMA = {
    "incidents": """
        CREATE TABLE incidents (
            id TEXT PRIMARY KEY, alias TEXT NOT NULL, host TEXT NOT NULL, symptom TEXT NOT NULL, detail TEXT NOT NULL,
            suggested_fix TEXT NOT NULL, opened_at INTEGER NOT NULL, first_notified_at INTEGER NOT NULL,
            last_notified_at INTEGER NOT NULL, ended_at INTEGER, resolved_at INTEGER,
            is_over INTEGER NOT NULL CHECK (is_over IN (0, 1)), is_listed INTEGER NOT NULL CHECK (is_listed IN (0, 1)),
            seen_at INTEGER NOT NULL, loss_notified_at INTEGER
        ) STRICT""",
    "notifications": f"""
        CREATE TABLE notifications (
            destination TEXT NOT NULL, incident TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ({_among(Kind)})), decided_at INTEGER NOT NULL,
            covers_until INTEGER NOT NULL, host TEXT NOT NULL, symptom TEXT NOT NULL, detail TEXT NOT NULL,
            suggested_fix TEXT NOT NULL, opened_at INTEGER NOT NULL, ended_at INTEGER,
            is_unannounced INTEGER NOT NULL CHECK (is_unannounced IN (0, 1)),
            state TEXT NOT NULL CHECK (state IN ({_among(State)})), queued_at INTEGER NOT NULL,
            attempts INTEGER NOT NULL, message TEXT, at INTEGER,
            PRIMARY KEY (destination, incident, kind, decided_at)
        ) STRICT""",
    "messages": f"""
        CREATE TABLE messages (
            key TEXT PRIMARY KEY, destination TEXT NOT NULL, delayed INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ({_among(State)})), began_at INTEGER NOT NULL, at INTEGER,
            response TEXT NOT NULL, reference TEXT NOT NULL,
            may_be_taken INTEGER NOT NULL CHECK (may_be_taken IN (0, 1))
        ) STRICT""",
    "destinations": """
        CREATE TABLE destinations (
            name TEXT PRIMARY KEY, since INTEGER NOT NULL, identity TEXT NOT NULL,
            gone TEXT NOT NULL, last_success_at INTEGER, failing_since INTEGER, last_error TEXT NOT NULL,
            last_error_at INTEGER, dropped INTEGER NOT NULL
        ) STRICT""",
    # Behind the tables, so that they are made first.
    "waiting": "CREATE INDEX waiting ON notifications (destination, state, decided_at)",
    "members": "CREATE INDEX members ON notifications (message)",
    "sent": "CREATE INDEX sent ON messages (destination, state, at)",
}


_UPGRADES = {
    1: (
        "ALTER TABLE incidents ADD COLUMN loss_notified_at INTEGER",
        "ALTER TABLE messages RENAME COLUMN answer TO response",
        "ALTER TABLE notifications RENAME TO notifications_of_1",
        "DROP INDEX waiting",
        "DROP INDEX members",
        *(_SCHEMA[name] for name in ("notifications", "waiting", "members")),
        "INSERT INTO notifications SELECT * FROM notifications_of_1",
        "DROP TABLE notifications_of_1",
    )
}
"""Version -> the statements that make the next version of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a destination stands.

    Attributes:
        name: Its name.
        since: When it was first known.
        gone: Why it takes nothing any more until its configuration changes; empty if it does.
        last_success_at: When it last took a message; None if it never did.
        failing_since: Since when it has not, though it was tried; None if the latest attempt was taken.
        last_error: What was wrong with the latest attempt that failed; empty if there was none.
        last_error_at: When that was.
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
        detail: The figures.
        state: How it stands.
        queued_at: Since when it was to be sent.
        attempts: How often that was tried.
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


class Ledger:
    """Keeps the account. Threads use it one at a time; each method is one transaction."""

    def __init__(self, directory: Path) -> None:
        """Take the directory that it is in."""
        self._store = Store(directory / FILE, _SCHEMA, _VERSION, _UPGRADES)

    @property
    def path(self) -> Path:
        """The file."""
        return self._store.path

    @property
    def problem(self) -> str:
        """Why nothing is written to the disk; empty if all is well."""
        return self._store.problem

    def open(self) -> None:
        """Open the file.

        Raises:
            StoreTaken: Another process uses it.
            StoreUnavailable: It is of a newer version.

        """
        self._store.open()
        self._store.run(_make_consistent)

    def mend(self) -> None:
        """Try to write what the disk did not take."""
        self._store.mend()

    def copy(self) -> None:
        """Take a copy, if anything has changed since the last one."""
        self._store.copy()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def together(self, work: Callable[[], T]) -> T:
        """Do some work in one transaction; it may be done twice. Return what it returns."""
        return self._store.run(lambda _: work())

    def meet(self, identities: Mapping[str, str], now: Instant) -> None:
        """Record which destinations there are: each name with what identifies its configuration.

        One that takes nothing any more is tried again if its configuration has changed.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO destinations VALUES (?, ?, ?, '', NULL, NULL, '', NULL, 0) ON CONFLICT (name) DO UPDATE"
                " SET gone = iif(identity = excluded.identity, gone, ''), identity = excluded.identity",
                [(name, now, identity) for name, identity in identities.items()],
            )

        self._store.run(work)

    def standings(self) -> dict[str, Standing]:
        """Return the state of each destination that was ever known."""

        def work(connection: sqlite3.Connection) -> dict[str, Standing]:
            waiting = {
                name: (count, since)
                for name, count, since in connection.execute(
                    "SELECT destination, count(*), min(queued_at) FROM notifications WHERE state IN ('queued',"
                    " 'sending') GROUP BY destination"
                )
            }
            rows = connection.execute(
                "SELECT name, since, gone, last_success_at, failing_since, last_error, last_error_at, dropped"
                " FROM destinations ORDER BY name"
            )
            standings = (Standing(*row) for row in rows)
            return {
                one.name: replace(one, waiting=count, waiting_since=since)
                for one in standings
                for count, since in [waiting.get(one.name, (0, None))]
            }

        return self._store.run(work)

    def take(self, listed: Sequence[Incident], now: Instant) -> list[Incident]:
        """Record what the daemon lists; return the same incidents, under the ids that they have here."""

        def work(connection: sqlite3.Connection) -> list[Incident]:
            rows = connection.execute(f"SELECT alias, is_listed, {_INCIDENT} FROM incidents").fetchall()
            known = {alias: _incident(row) for alias, _, *row in rows}
            unlisted = {row[0] for row in rows if not row[1]}
            standing = [(alias, one) for alias, one in known.items() if one.is_open and not _is_own(one)]
            moved = successors(standing, listed)
            for alias, old in moved.items():
                known[alias] = known.pop(old)
            taken = []
            for one in listed:
                before = known.get(one.id)
                incident = one if before is None else replace(one, id=before.id)
                if not incident.suggested_fix and before is not None:
                    incident = replace(incident, suggested_fix=before.suggested_fix)
                taken.append(incident)
                is_news = before is None or _news(before) != _news(incident)
                if is_news or one.id in moved or one.id in unlisted:
                    _put(connection, one.id, incident, now)
            ids = {one.id for one in listed} | unlisted | set(moved.values())
            lost = [(one.id,) for alias, one in standing if alias not in ids]
            connection.executemany("UPDATE incidents SET is_listed = 0 WHERE id = ?", lost)
            return taken

        return self._store.run(work)

    def put(self, incident: Incident, now: Instant) -> None:
        """Record an incident of our own."""
        self._store.run(lambda connection: _put(connection, incident.id, incident, now))

    def own_incidents(self, symptom: str) -> list[Incident]:
        """Return the incidents of our own of a symptom, the latest first."""

        def work(connection: sqlite3.Connection) -> list[Incident]:
            query = f"SELECT {_INCIDENT} FROM incidents WHERE symptom = ? ORDER BY opened_at DESC"
            return [_incident(row) for row in connection.execute(query, (symptom,))]

        return self._store.run(work)

    def standing_incidents(self) -> list[Incident]:
        """Return the open incidents as they were listed last."""

        def work(connection: sqlite3.Connection) -> list[Incident]:
            query = f"SELECT {_INCIDENT} FROM incidents WHERE ended_at IS NULL AND is_listed"
            return [_incident(row) for row in connection.execute(query)]

        return self._store.run(work)

    def entries(self, destination: str) -> dict[str, list[Entry]]:
        """Return the entries of a destination, by the incident."""

        def work(connection: sqlite3.Connection) -> dict[str, list[Entry]]:
            found: dict[str, list[Entry]] = {}
            for incident, kind, decided_at, covers_until, state, is_unannounced in connection.execute(
                "SELECT incident, kind, decided_at, covers_until, state, is_unannounced FROM notifications"
                " WHERE destination = ?",
                (destination,),
            ):
                entry = Entry(incident, Kind(kind), decided_at, covers_until, State(state), bool(is_unannounced))
                found.setdefault(incident, []).append(entry)
            return found

        return self._store.run(work)

    def apply(self, destination: str, changes: Iterable[Change], now: Instant) -> None:
        """Make changes to what a destination is to be sent."""

        def work(connection: sqlite3.Connection) -> None:
            for change in changes:
                if isinstance(change, Queue):
                    _queue(connection, destination, change, now)
                    continue
                one = change.entry
                named = (destination, one.incident, one.kind, one.decided_at)
                if isinstance(change, Settle):
                    connection.execute(
                        f"UPDATE notifications SET state = ?, at = ? {_THE}", (change.state, now, *named)
                    )
                elif isinstance(change, Cover):
                    connection.execute(
                        f"UPDATE notifications SET covers_until = ? {_THE}", (change.covers_until, *named)
                    )

        self._store.run(work)

    def unfinished(self, destination: str) -> Message | None:
        """Return the message to a destination that has no recorded response yet; None if there is none."""

        def work(connection: sqlite3.Connection) -> Message | None:
            found = connection.execute(
                "SELECT key, delayed FROM messages WHERE destination = ? AND state = 'sending' ORDER BY began_at"
                " LIMIT 1",
                (destination,),
            ).fetchone()
            if found is None:
                return None
            key, delayed = found
            query = f"SELECT {_NOTIFICATION} FROM notifications WHERE message = ? {_IN_ORDER}"
            return Message(key, tuple(map(_notification, connection.execute(query, (key,)))), delayed)

        return self._store.run(work)

    def waiting(self, destination: str, limit: int = -1) -> list[Waiting]:
        """Return the notifications that wait for a destination, in the order of the decisions; -1 for all of them."""

        def work(connection: sqlite3.Connection) -> list[Waiting]:
            query = (
                f"SELECT queued_at, {_NOTIFICATION} FROM notifications WHERE destination = ? AND state = 'queued'"
                f" {_IN_ORDER} LIMIT ?"
            )
            return [Waiting(_notification(row), at) for at, *row in connection.execute(query, (destination, limit))]

        return self._store.run(work)

    def settled(self, destination: str, kind: Kind, since: Instant) -> list[Notification]:
        """Return the notifications of a kind that a destination was sent since an instant."""

        def work(connection: sqlite3.Connection) -> list[Notification]:
            query = (
                f"SELECT {_NOTIFICATION} FROM notifications WHERE destination = ? AND state = 'sent' AND kind = ?"
                f" AND at > ? {_IN_ORDER}"
            )
            return [_notification(row) for row in connection.execute(query, (destination, kind, since))]

        return self._store.run(work)

    def sent_since(self, destination: str, since: Instant) -> list[Instant]:
        """Return when a destination took messages, from an instant on."""

        def work(connection: sqlite3.Connection) -> list[Instant]:
            query = "SELECT at FROM messages WHERE destination = ? AND state = 'sent' AND at > ?"
            return [at for (at,) in connection.execute(query, (destination, since))]

        return self._store.run(work)

    def begin(self, destination: str, message: Message, now: Instant) -> None:
        """Record that a message is being sent."""
        self._store.run(lambda connection: _begin(connection, destination, message, now))

    def note_delivered(self, destination: str, message: Message, delivered: Delivered, now: Instant) -> None:
        """Record that a destination has taken a message."""
        self._store.run(lambda connection: _deliver(connection, destination, message, delivered, now))

    def note_held(self, destination: str, message: Message, delivered: Delivered, now: Instant) -> None:
        """Record that a destination has been sent the whole set, with what waited for that."""

        def work(connection: sqlite3.Connection) -> None:
            _begin(connection, destination, message, now)
            _deliver(connection, destination, message, delivered, now)

        self._store.run(work)

    def note_reached(self, destination: str, now: Instant) -> None:
        """Record that a destination takes again what there is."""
        self._store.run(lambda connection: _succeed(connection, destination, now))

    def note_failed(
        self, destination: str, message: Message | None, reason: str, now: Instant, *, is_response_lost: bool
    ) -> None:
        """Record that an attempt failed.

        If no attempt can have been taken, what the message reports waits again by itself. Else the same message is sent
        again, also after an attempt that surely was not taken.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE destinations SET failing_since = coalesce(failing_since, ?), last_error = ?, last_error_at = ?"
                " WHERE name = ?",
                (now, reason, now, destination),
            )
            if message is None:
                return
            connection.execute("UPDATE notifications SET attempts = attempts + 1 WHERE message = ?", (message.key,))
            if is_response_lost:
                connection.execute("UPDATE messages SET may_be_taken = 1 WHERE key = ?", (message.key,))
            else:
                _dissolve_untaken(connection, message.key)

        self._store.run(work)

    def note_refused(self, destination: str, message: Message, reason: str, now: Instant) -> None:
        """Record that a destination will never take a message."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE destinations SET dropped = dropped + ?, last_error = ?, last_error_at = ? WHERE name = ?",
                (len(message.notifications), reason, now, destination),
            )
            _finish(connection, message.key, State.REFUSED, Delivered(reason), now)

        self._store.run(work)

    def note_gone(self, destination: str, message: Message | None, reason: str, now: Instant) -> None:
        """Record that a destination takes nothing any more, until its configuration changes."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE destinations SET gone = ?, failing_since = coalesce(failing_since, ?), last_error = ?,"
                " last_error_at = ? WHERE name = ?",
                (reason, now, reason, now, destination),
            )
            if message is not None:
                connection.execute("UPDATE notifications SET attempts = attempts + 1 WHERE message = ?", (message.key,))
                _dissolve_untaken(connection, message.key)

        self._store.run(work)

    def give_up(self, destination: str, before: Instant, now: Instant) -> int:
        """Drop what has waited for a destination since before an instant; return how much that was."""

        def work(connection: sqlite3.Connection) -> int:
            where = "destination = ? AND state IN ('queued', 'sending') AND queued_at < ?"
            keys = connection.execute(
                f"SELECT DISTINCT message FROM notifications WHERE {where} AND state = 'sending'",
                (destination, before),
            ).fetchall()
            for (key,) in keys:
                _dissolve(connection, key)
            count = connection.execute(
                f"UPDATE notifications SET state = 'dropped', at = ? WHERE {where}",
                (now, destination, before),
            ).rowcount
            connection.execute("UPDATE destinations SET dropped = dropped + ? WHERE name = ?", (count, destination))
            return count

        return self._store.run(work)

    def history(self, host: str | None, limit: int) -> list[Record]:
        """Return the recent notifications, the latest first; of one host if it is named."""

        def work(connection: sqlite3.Connection) -> list[Record]:
            rows = connection.execute(
                "SELECT n.destination, n.kind, n.host, n.symptom, n.detail, n.state, n.queued_at, n.attempts, n.at,"
                " coalesce(m.response, ''), coalesce(m.reference, ''), coalesce(n.message, ''), n.is_unannounced"
                " FROM notifications n LEFT JOIN messages m ON m.key = n.message"
                " WHERE ?1 IS NULL OR n.host = ?1 ORDER BY n.queued_at DESC, n.decided_at DESC LIMIT ?2",
                (host, limit),
            )
            return [Record(*[*row[:-1], bool(row[-1])]) for row in rows]

        return self._store.run(work)

    def prune(self, now: Instant) -> None:
        """Forget what was settled too long ago to be shown."""

        def work(connection: sqlite3.Connection) -> None:
            old = now - KEPT_US
            connection.execute(
                "DELETE FROM incidents WHERE (ended_at IS NOT NULL OR NOT is_listed) AND max(seen_at,"
                " last_notified_at, coalesce(ended_at, 0)) < ?",
                (old,),
            )
            settled = "state NOT IN ('queued', 'sending') AND incident NOT IN (SELECT id FROM incidents)"
            connection.execute(f"DELETE FROM notifications WHERE {settled} AND queued_at < ?", (old,))
            over = "state NOT IN ('queued', 'sending') AND incident IN (SELECT id FROM incidents WHERE ended_at < ?)"
            # The daemon lists what has ended for seven days.
            connection.execute(
                f"DELETE FROM notifications WHERE rowid IN (SELECT rowid FROM notifications WHERE {over}"
                " ORDER BY queued_at DESC LIMIT -1 OFFSET ?)",
                (now - KEPT_US // 3, KEPT_COUNT),
            )
            connection.execute(
                "DELETE FROM messages WHERE state <> 'sending' AND key NOT IN (SELECT message FROM notifications WHERE"
                " message IS NOT NULL)"
            )

        self._store.run(work)


_INCIDENT = (
    "id, host, symptom, detail, suggested_fix, opened_at, first_notified_at, last_notified_at, ended_at, resolved_at,"
    " is_over, loss_notified_at"
)
_NOTIFICATION = "incident, kind, host, symptom, detail, suggested_fix, opened_at, decided_at, ended_at, is_unannounced"
_RANK = " ".join(f"WHEN '{kind}' THEN {kind.rank}" for kind in Kind)
_IN_ORDER = f"ORDER BY decided_at, CASE kind {_RANK} END, host, symptom, incident"
_THE = "WHERE destination = ? AND incident = ? AND kind = ? AND decided_at = ?"


def _incident(row: Sequence[Any]) -> Incident:
    *fields, is_over, loss_notified_at = row
    return Incident(*[*fields, bool(is_over), loss_notified_at])


def _notification(row: Sequence[Any]) -> Notification:
    incident, kind, *rest, is_unannounced = row
    return Notification(*[incident, Kind(kind), *rest, bool(is_unannounced)])


def _name(destination: str, one: Notification) -> tuple[str, str, str, Instant]:
    return destination, one.incident, one.kind, one.decided_at


def _news(one: Incident) -> tuple[Any, ...]:
    """Return what of an incident is worth a write: its words change at each evaluation."""
    return (
        one.first_notified_at,
        one.last_notified_at,
        one.ended_at,
        one.resolved_at,
        one.is_over,
        one.loss_notified_at,
    )


def _is_own(one: Incident) -> bool:
    return one.id.startswith(OWN)


OWN = "notify-"
"""How the ids of our own incidents begin."""


def _put(connection: sqlite3.Connection, alias: str, one: Incident, now: Instant) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
        (
            one.id,
            alias,
            one.host,
            one.symptom,
            one.detail,
            one.suggested_fix,
            one.opened_at,
            one.first_notified_at,
            one.last_notified_at,
            one.ended_at,
            one.resolved_at,
            one.is_over,
            now,
            one.loss_notified_at,
        ),
    )


def _queue(connection: sqlite3.Connection, destination: str, change: Queue, now: Instant) -> None:
    one = change.notification
    connection.execute(
        "INSERT OR REPLACE INTO notifications VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, 0, NULL, NULL)",
        (
            *_name(destination, one),
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


def _begin(connection: sqlite3.Connection, destination: str, message: Message, now: Instant) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, 'sending', ?, NULL, '', '', 0)",
        (message.key, destination, message.delayed, now),
    )
    connection.executemany(
        f"UPDATE notifications SET state = 'sending', message = ? {_THE}",
        [(message.key, *_name(destination, one)) for one in message.notifications],
    )


def _dissolve(connection: sqlite3.Connection, key: str) -> None:
    """Let the notifications of a message wait on their own again."""
    connection.execute("UPDATE notifications SET state = 'queued', message = NULL WHERE message = ?", (key,))
    connection.execute("DELETE FROM messages WHERE key = ?", (key,))


def _dissolve_untaken(connection: sqlite3.Connection, key: str) -> None:
    """Do so with a message if no attempt can have been delivered."""
    if connection.execute("SELECT 1 FROM messages WHERE key = ? AND NOT may_be_taken", (key,)).fetchone():
        _dissolve(connection, key)


def _succeed(connection: sqlite3.Connection, destination: str, now: Instant) -> None:
    connection.execute(
        "UPDATE destinations SET last_success_at = ?, failing_since = NULL WHERE name = ?", (now, destination)
    )


def _deliver(
    connection: sqlite3.Connection, destination: str, message: Message, delivered: Delivered, now: Instant
) -> None:
    _succeed(connection, destination, now)
    _finish(connection, message.key, State.SENT, delivered, now)


def _finish(connection: sqlite3.Connection, key: str, state: State, delivered: Delivered, now: Instant) -> None:
    connection.execute(
        "UPDATE messages SET state = ?, response = ?, reference = ?, at = ? WHERE key = ?",
        (state, delivered.response, delivered.reference, now, key),
    )
    connection.execute(
        "UPDATE notifications SET state = ?, at = ?, attempts = attempts + 1 WHERE message = ?", (state, now, key)
    )


def _make_consistent(connection: sqlite3.Connection) -> None:
    """Let nothing hang in the air where rows were lost with a damaged file; what was being sent may be taken."""
    connection.execute("UPDATE messages SET may_be_taken = 1 WHERE state = 'sending'")
    connection.execute(
        "DELETE FROM messages WHERE state = 'sending' AND key NOT IN (SELECT message FROM notifications WHERE"
        " message IS NOT NULL AND state = 'sending')"
    )
    connection.execute(
        "UPDATE notifications SET state = 'queued', message = NULL WHERE state = 'sending' AND (message IS NULL OR"
        " message NOT IN (SELECT key FROM messages WHERE state = 'sending'))"
    )
