"""The ledger as a whole: its file, the destinations, and what is removed after a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import HOUR_US
from fleet_health.notify.ledger.known_incidents import KnownIncidents
from fleet_health.notify.ledger.outbox import Outbox, make_consistent
from fleet_health.notify.ledger.schema import SCHEMA, UPGRADES, VERSION
from fleet_health.notify.ledger.standing import history, standings
from fleet_health.notify.ledger.store import Store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from fleet_health.model.instant import Instant
    from fleet_health.notify.ledger.standing import Record, Standing

FILE = "ledger.db"
KEPT_US = 30 * 24 * HOUR_US
"""For how long settled notifications are kept for `history`, in microseconds."""
KEPT_COUNT = 100_000
"""How many settled notifications are kept: the latest."""


class Ledger:
    """The ledger. Threads use it one at a time; each method is one transaction."""

    def __init__(self, directory: Path) -> None:
        """Take the directory that it is in."""
        self._store = Store(directory / FILE, SCHEMA, VERSION, UPGRADES)
        self.incidents = KnownIncidents(self._store)
        """The incidents."""

    @property
    def problem(self) -> str:
        """Why nothing is written to the disk; empty if all is well."""
        return self._store.problem

    def outbox(self, destination: str) -> Outbox:
        """Return the part of the ledger that is about a destination."""
        return Outbox(self._store, destination)

    def open(self) -> None:
        """Open the file.

        Raises:
            StoreTaken: Another process uses it.
            StoreUnavailable: It is of a newer version.

        """
        self._store.open()
        self._store.run(make_consistent)

    def mend(self) -> None:
        """Try to write what could not be written to the disk."""
        self._store.mend()

    def copy(self) -> None:
        """Make a copy of the file, if anything has changed since the last one."""
        self._store.copy()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def meet(self, identities: Mapping[str, str], now: Instant) -> None:
        """Record which destinations there are: name -> a text that changes with its configuration.

        A destination that was gone is tried again if its configuration has changed.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO destinations VALUES (?, ?, ?, '', NULL, NULL, '', NULL, 0) ON CONFLICT (name) DO UPDATE"
                " SET gone = iif(identity = excluded.identity, gone, ''), identity = excluded.identity",
                [(name, now, identity) for name, identity in identities.items()],
            )

        self._store.run(work)

    def standings(self) -> dict[str, Standing]:
        """Return the state of each destination that was ever known, by its name."""
        return self._store.run(standings)

    def history(self, host: str | None, limit: int) -> list[Record]:
        """Return the recent notifications, the latest first; only those about a host unless it is None."""
        return self._store.run(lambda connection: history(connection, host, limit))

    def prune(self, now: Instant) -> None:
        """Remove incidents and notifications that are too old to be shown."""

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
