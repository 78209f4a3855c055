"""The incidents that the daemon listed, and those that `notify` reports itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fleet_health.notify.ledger.rows import INCIDENT, incident
from fleet_health.notify.reconcile import successors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.notify.documents import Incident
    from fleet_health.notify.ledger.store import Store

OWN = "notify-"
"""How the ids of the incidents begin that `notify` reports itself."""


class KnownIncidents:
    """The incidents of the ledger. Each method is one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, listed: Sequence[Incident], now: Instant) -> list[Incident]:
        """Record what the daemon lists; return the same incidents with the ids that they have in the ledger."""
        return self._store.run(lambda connection: _take(connection, listed, now))

    def put(self, one: Incident, now: Instant) -> None:
        """Record an incident that `notify` reports itself."""
        self._store.run(lambda connection: _put(connection, one.id, one, now))

    def own(self, symptom: str) -> list[Incident]:
        """Return the incidents of a symptom that `notify` reports itself, the latest first."""
        query = f"SELECT {INCIDENT} FROM incidents WHERE symptom = ? ORDER BY opened_at DESC"
        return self._store.run(lambda connection: [incident(row) for row in connection.execute(query, (symptom,))])

    def still_open(self) -> list[Incident]:
        """Return the open incidents as they were listed last."""
        query = f"SELECT {INCIDENT} FROM incidents WHERE ended_at IS NULL AND is_listed"
        return self._store.run(lambda connection: [incident(row) for row in connection.execute(query)])


def _take(connection: sqlite3.Connection, listed: Sequence[Incident], now: Instant) -> list[Incident]:
    rows = connection.execute(f"SELECT alias, is_listed, {INCIDENT} FROM incidents").fetchall()
    known = {alias: incident(row) for alias, _, *row in rows}
    unlisted = {alias for alias, is_listed, *_ in rows if not is_listed}
    open_ = [(alias, one) for alias, one in known.items() if one.is_open and not one.id.startswith(OWN)]
    moved = successors(open_, listed)
    for alias, old in moved.items():
        known[alias] = known.pop(old)
    taken = []
    for one in listed:
        before = known.get(one.id)
        now_known = one if before is None else replace(one, id=before.id)
        if not now_known.suggested_fix and before is not None:
            now_known = replace(now_known, suggested_fix=before.suggested_fix)
        taken.append(now_known)
        if before is None or _news(before) != _news(now_known) or one.id in moved or one.id in unlisted:
            _put(connection, one.id, now_known, now)
    ids = {one.id for one in listed} | unlisted | set(moved.values())
    vanished = [(one.id,) for alias, one in open_ if alias not in ids]
    connection.executemany("UPDATE incidents SET is_listed = 0 WHERE id = ?", vanished)
    return taken


def _news(one: Incident) -> tuple[Any, ...]:
    """Return the fields whose changes are recorded; not the detail, which changes at each evaluation."""
    return (
        one.first_notified_at,
        one.last_notified_at,
        one.ended_at,
        one.resolved_at,
        one.is_over,
        one.loss_notified_at,
    )


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
