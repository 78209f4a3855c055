"""The tables of the ledger, and how an older ledger gets those of the present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.notify.message import Kind
from fleet_health.notify.reconcile import State

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 2
"""The version of the tables."""


def _among(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


SCHEMA = {
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
    # After the tables, so that they are made first.
    "waiting": "CREATE INDEX waiting ON notifications (destination, state, decided_at)",
    "members": "CREATE INDEX members ON notifications (message)",
    "sent": "CREATE INDEX sent ON messages (destination, state, at)",
}
"""The declaration of each table and index, by its name."""

UPGRADES = {
    1: (
        "ALTER TABLE incidents ADD COLUMN loss_notified_at INTEGER",
        "ALTER TABLE messages RENAME COLUMN answer TO response",
        "ALTER TABLE notifications RENAME TO notifications_of_1",
        "DROP INDEX waiting",
        "DROP INDEX members",
        *(SCHEMA[name] for name in ("notifications", "waiting", "members")),
        "INSERT INTO notifications SELECT * FROM notifications_of_1",
        "DROP TABLE notifications_of_1",
    )
}
"""Version -> the statements that make the next version of it."""
