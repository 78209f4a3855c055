"""Reads the rows of a damaged database, as many as can be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


def salvage(source: Path, target: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Copy the rows that can be read from a file and that fit the tables of another database."""
    if not source.exists():
        return
    with suppress(sqlite3.Error), closing(_reader(source)) as connection:
        for table in tables:
            columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
            marks = ", ".join("?" * len(columns))
            for row in _readable_rows(connection, table, columns):
                with suppress(sqlite3.Error):
                    target.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)


def _reader(path: Path) -> sqlite3.Connection:
    """Open a file that may be damaged, to read it together with its write-ahead log."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.5, check_same_thread=False)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


def _readable_rows(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """Yield the readable rows of a table with these columns: from both ends up to the damaged part."""
    known = set()
    with suppress(sqlite3.Error):
        known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    if set(columns) != known:
        return
    for order in ("ASC", "DESC"):
        query = f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED ORDER BY rowid {order}"
        try:
            yield from connection.execute(query)
        except (sqlite3.Error, UnicodeDecodeError):
            continue  # the rows after the damaged part are read from the other end
        return
