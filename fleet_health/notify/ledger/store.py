"""A small database that outlives its disk: what happens if that is full, fails, or was damaged.

SQLite keeps what was committed through a kill or a loss of power (WAL, `synchronous=FULL`). If the file cannot be
written, the database is kept in memory, so that nothing waits for the disk; as soon as it can be written again, it is
written as a whole. A kill before that loses what was recorded only in memory. A damaged file is set aside as
`.damaged`, and a new one is made from what can be read of it and of the latest copy.

A file is replaced in one step: the new one is written completely as `.new`, and takes the place of the old one then, or
at the next start.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import structlog

from fleet_health.errors import FleetHealthError
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.notify.ledger.salvage import salvage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

_MODE = 0o750
# A command may look into the file for a moment, while the process starts.
_PATIENCE_S = 5.0
# Of the primary result codes (https://sqlite.org/rescode.html).
_TAKEN = frozenset({5, 6})  # SQLITE_BUSY, SQLITE_LOCKED
_DAMAGED = frozenset({11, 26})  # SQLITE_CORRUPT, SQLITE_NOTADB
_UNWRITABLE = frozenset({8, 10, 13, 14})  # SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
_TUNING = (
    # No other process uses the file. So it needs no shared memory, which could not be made on a full disk.
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=200",
    "PRAGMA cache_size=-512",
)

_log = structlog.get_logger("fleet_health.notify")


class StoreTaken(FleetHealthError):  # noqa: N818 - it names a state, as the other ones of this package do
    """Another process uses the file."""


class StoreUnavailable(FleetHealthError):  # noqa: N818 - likewise
    """The file was made by a newer version."""


class _DamageError(sqlite3.DatabaseError):
    """SQLite can read the file, but it is not consistent."""


class Store:
    """A database in a file, or for as long as that cannot be written, in memory. Threads use it one at a time."""

    def __init__(
        self, path: Path, schema: Mapping[str, str], version: int, upgrades: Mapping[int, Sequence[str]]
    ) -> None:
        """Take the file and its tables.

        Args:
            path: The file.
            schema: The declaration of each table and index, by its name.
            version: The version of the schema.
            upgrades: Each older version -> the statements that make the next version of it.

        """
        self.path = path
        self.problem = ""
        """Why the database is kept in memory; empty if it is in the file."""
        self._schema = schema
        self._version = version
        self._upgrades = upgrades
        self._turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._is_in_memory = False
        self._is_set_aside = False
        """Whether the file is renamed to `.damaged` when another one replaces it: it is damaged, or was never read."""
        self._identity: tuple[int, int] | None = None
        self._is_copied = False

    def open(self) -> None:
        """Open the file; create it if it is missing, and repair it if it is damaged.

        Raises:
            StoreTaken: Another process uses it.
            StoreUnavailable: It is of a newer version.

        """
        try:
            with SafeDirectory(self.path.parent, create_mode=_MODE) as directory:
                directory.refuse_root_elsewhere()
            self._finish_exchange()
            is_lost = not self.path.exists() and self._copy.exists()
            if not is_lost:
                self._open_file()
                self._transact(self._upgrade)
                return
            _log.error("ledger lost, restored from its copy", file=str(self.path))
            self._go_on_in_memory("it was lost")
        except sqlite3.Error as error:
            self._handle(error)
        except OSError as error:
            self._go_on_in_memory(error.strerror or str(error))
        self.mend()

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in one transaction, and return what it returns. Then the transaction is on the disk.

        A call within such work is part of the same transaction. The work is done again if the file fails.
        """
        with self._turn:
            if self._opened.in_transaction:
                return work(self._opened)
            try:
                return self._transact(work)
            except sqlite3.Error as error:
                is_of_file = isinstance(error, _DamageError) or _code(error) in _DAMAGED | _UNWRITABLE
                if self._is_in_memory or not is_of_file:
                    raise
                self._handle(error)
            return self._transact(work)

    def mend(self) -> None:
        """Try to write to the file what is kept in memory, also if the file was removed."""
        with self._turn:
            self._mend()

    def _mend(self) -> None:
        if not self._is_in_memory and self._file_identity() != self._identity:
            self._go_on_in_memory("the file was taken away")
        if not self._is_in_memory:
            return
        try:
            with SafeDirectory(self.path.parent, create_mode=_MODE) as directory:
                directory.refuse_root_elsewhere()
            self._write_whole(self._new)
            self._finish_exchange()
            memory, was = self._opened, self.problem
            self._open_file()
        except (sqlite3.Error, OSError, StoreTaken) as error:
            self.problem = f"{self.path}: {_reason(error)}"
            return
        memory.close()
        self._is_in_memory = self._is_set_aside = False
        self.problem = ""
        _log.warning("ledger written again", file=str(self.path), was=was)

    def copy(self) -> None:
        """Keep a copy beside the file, if anything has changed since the last one."""
        with self._turn, suppress(sqlite3.Error, OSError):  # the next copy may succeed
            if not self._is_copied and not self._is_in_memory:
                self._write_whole(self._copy)
                self._is_copied = True

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @property
    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101 - `open` is called first
        return self._connection

    @property
    def _new(self) -> Path:
        return self.path.with_suffix(".new")

    @property
    def _copy(self) -> Path:
        return self.path.with_suffix(".copy")

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._opened
        before = connection.total_changes
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        if connection.total_changes != before:
            self._is_copied = False
        return result

    def _open_file(self) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=_PATIENCE_S, check_same_thread=False)
        try:
            for statement in _TUNING:
                connection.execute(statement)
            self._examine(connection)
        except sqlite3.Error as error:
            connection.close()
            if _code(error) in _TAKEN:
                raise StoreTaken(
                    f"{self.path}: another `fleet-health notify` uses it; see `systemctl status fleet-health-notify`"
                ) from error
            raise
        except StoreUnavailable:
            connection.close()
            raise
        self._connection, self._identity = connection, self._file_identity()

    def _examine(self, connection: sqlite3.Connection) -> None:
        """Raise if the file is damaged or too new; make the tables if there are none."""
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > self._version:
            raise StoreUnavailable(
                f"{self.path}: expected version {self._version} or older, found {found}; it was made by a newer"
                " fleet-health: install that again, or move the file away"
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _DamageError(str(verdict).splitlines()[-1][:200])
        if not found and self._copy.exists():
            raise _DamageError("it is empty")
        if not found:
            self._create(connection)

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for declaration in self._schema.values():
            connection.execute(declaration)
        connection.execute(f"PRAGMA user_version={self._version:d}")
        connection.execute("COMMIT")

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """Upgrade an older database to the current tables."""
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        for version in range(found, self._version):
            for statement in self._upgrades[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={version + 1:d}")

    def _handle(self, error: sqlite3.Error) -> None:
        """Continue in memory after an error of the file, with all rows that can be read from it."""
        if isinstance(error, _DamageError) or _code(error) in _DAMAGED:
            _log.error("ledger damaged, set aside and rebuilt", file=str(self.path), reason=_reason(error))
            self._go_on_in_memory(_reason(error), is_damaged=True)
            self.mend()
        else:
            self._go_on_in_memory(_reason(error))

    def _go_on_in_memory(self, reason: str, *, is_damaged: bool = False) -> None:
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._create(memory)
        old, self._connection = self._connection, memory
        self._is_set_aside = self._is_set_aside or is_damaged or old is None
        if old is not None and not is_damaged:
            with suppress(sqlite3.Error):
                old.backup(memory)
            self._transact(self._upgrade)
        if old is not None:
            old.close()
        if self._is_set_aside:
            tables = [name for name, declared in self._schema.items() if "TABLE" in declared]
            for source in (self._copy, self.path):
                salvage(source, memory, tables)
        if not is_damaged:
            _log.error("ledger not written, kept in memory", file=str(self.path), reason=reason)
        self._is_in_memory, self.problem = True, f"{self.path}: {reason}"

    def _write_whole(self, path: Path) -> None:
        """Write the whole database into a file, which appears complete or not at all."""
        building = path.with_suffix(".building")
        building.unlink(missing_ok=True)
        try:
            self._opened.execute("VACUUM INTO ?", (str(building),))
            with building.open("rb+") as file:
                os.fchmod(file.fileno(), 0o640)
                os.fsync(file.fileno())
            building.replace(path)
            _sync_directory(path.parent)
        finally:
            with suppress(OSError):
                building.unlink(missing_ok=True)

    def _finish_exchange(self) -> None:
        """Replace the file by the new one, if there is one."""
        if not self._new.exists():
            return
        if self._is_set_aside and self.path.exists():
            self.path.replace(self.path.with_suffix(".damaged"))
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._new.replace(self.path)
        _sync_directory(self.path.parent)

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            state = self.path.lstat()
        except OSError:
            return None
        return state.st_dev, state.st_ino


def _code(error: sqlite3.Error) -> int | None:
    """Return the primary result code of an error; None if it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
