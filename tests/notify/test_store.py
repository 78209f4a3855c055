"""The ledger's file: what is recorded stays, through damage, a full disk and a kill at any step."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from fleet_health.notify.ledger import store as module
from fleet_health.notify.ledger.store import Store, StoreTaken, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = {"rows": "CREATE TABLE rows (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT"}
LONG = "x" * 500


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is."""
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Open a new store."""
    with_rows = opened(path)
    yield with_rows
    with_rows.close()


def opened(path: Path) -> Store:
    """Open what is there."""
    store = Store(path, SCHEMA, 1, {})
    store.open()
    return store


def put(store: Store, *names: str) -> None:
    """Record rows."""
    store.run(
        lambda connection: connection.executemany("INSERT INTO rows VALUES (?, ?)", [(one, LONG) for one in names])
    )


def names(store: Store) -> list[str]:
    """Return the rows."""
    return store.run(lambda connection: [name for (name,) in connection.execute("SELECT name FROM rows ORDER BY name")])


def test_what_is_recorded_stays(store: Store, path: Path) -> None:
    """Rows outlive the process, and other users can read neither the file nor its directory."""
    put(store, "a")
    store.close()

    assert names(opened(path)) == ["a"]
    assert (path.parent.stat().st_mode & 0o777) == 0o750


def test_a_mistake_of_ours_changes_nothing(store: Store) -> None:
    """Work that raises is undone, and does not count as a fault of the disk."""
    put(store, "a")

    with pytest.raises(sqlite3.IntegrityError):
        put(store, "b", "a")
    assert names(store) == ["a"]
    assert store.problem == ""


def test_two_processes_do_not_share_it(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a file that another process uses fails after a while."""
    put(store, "a")
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)

    with pytest.raises(StoreTaken, match="another `fleet-health notify` uses it"):
        opened(path)


def test_a_newer_file_is_left_alone(store: Store, path: Path) -> None:
    """A file of a newer version is not changed."""
    store.run(lambda connection: connection.execute("PRAGMA user_version=2"))
    store.close()

    with pytest.raises(StoreUnavailable, match="expected version 1 or older, found 2"):
        opened(path)


def test_a_full_disk_loses_nothing(store: Store, path: Path) -> None:
    """The database is kept in memory, reports that, and is written as a whole once there is room."""
    put(store, "a")
    store._opened.execute("PRAGMA max_page_count=1")

    put(store, *(f"b{number:02}" for number in range(40)))
    assert "full" in store.problem
    put(store, "c")
    assert len(names(store)) == 42
    store.mend()

    assert store.problem == ""
    put(store, "d")
    store.close()
    assert len(names(opened(path))) == 43


def test_a_directory_that_cannot_be_written_is_said(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is kept in memory until the directory can be written."""
    put(store, "a")
    store.close()

    def refuse(_: Store, __: Path) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_open_file", lambda _: refuse(store, path))
        patched.setattr(Store, "_write_whole", refuse)
        again = opened(path)
        put(again, "b")
        assert "No space left on device" in again.problem
    again.mend()

    assert (again.problem, names(again)) == ("", ["a", "b"])


@pytest.mark.parametrize("what", ["no database", "empty pages", "cut in the middle", "one bad page", "nothing"])
def test_a_damaged_file_is_set_aside_and_rebuilt(store: Store, path: Path, what: str) -> None:
    """The new file has the rows that can be read from the old one and from its copy, and takes new ones."""
    put(store, *(f"a{number:03}" for number in range(100)))
    store.copy()
    put(store, *(f"b{number:03}" for number in range(100)))
    store.close()
    content = bytearray(path.read_bytes())
    match what:
        case "no database":
            content[:] = os.urandom(4096)
        case "empty pages":
            content[4096:] = bytes(len(content) - 4096)
        case "cut in the middle":
            del content[len(content) // 2 // 4096 * 4096 :]
        case "one bad page":
            content[8 * 4096 : 9 * 4096] = os.urandom(4096)
        case "nothing":
            del content[:]
    path.write_bytes(content)

    again = opened(path)
    found = names(again)
    put(again, "c")
    again.close()

    assert [name for name in found if name.startswith("a")] == [f"a{number:03}" for number in range(100)]
    if what == "one bad page":
        assert len(found) > 150
    assert again.problem == ""
    assert path.with_suffix(".damaged").exists()
    assert "c" in names(opened(path))


def test_damage_that_is_found_while_it_runs_is_repaired(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that fails because of the damage is done again on the new file."""
    put(store, "a")
    store.copy()
    work = Store._transact
    is_damaged = [True]

    def fail_once(self: Store, *args: object) -> object:
        if is_damaged.pop() if is_damaged else False:
            raise module._DamageError("database disk image is malformed")
        return work(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "_transact", fail_once)
    put(store, "b")

    assert (names(store), store.problem) == (["a", "b"], "")
    assert path.with_suffix(".damaged").exists()


def test_a_file_that_is_taken_away_is_written_again(store: Store, path: Path) -> None:
    """A removed file is written again, with all rows."""
    put(store, "a")
    path.unlink()

    store.mend()
    put(store, "b")
    store.close()

    assert names(opened(path)) == ["a", "b"]


def test_a_lost_file_is_restored_from_its_copy(store: Store, path: Path) -> None:
    """What was sent before is not sent again."""
    put(store, "a")
    store.copy()
    store.close()
    path.unlink()

    assert names(opened(path)) == ["a"]


@pytest.mark.parametrize("killed_before", ["unlink", "replace", "_sync_directory"])
def test_a_kill_while_the_file_is_exchanged_loses_nothing(
    store: Store, path: Path, killed_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill at any step, there is the old file or the complete new one."""
    put(store, "a")
    store._go_on_in_memory("a full disk")
    put(store, "b")

    class KilledError(Exception):
        """Nothing runs after this."""

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(module if killed_before == "_sync_directory" else type(path), killed_before, kill)
        with pytest.raises(KilledError):
            store.mend()

    found = names(opened(path))
    assert found == (["a"] if killed_before in {"unlink", "replace"} else ["a", "b"])


def test_an_older_file_is_upgraded_through_every_version(store: Store, path: Path) -> None:
    """An upgraded file has its rows, and is not upgraded again."""
    put(store, "a")
    store.close()
    upgrades = {1: ["ALTER TABLE rows ADD COLUMN more TEXT"], 2: ["UPDATE rows SET more = name || '!'"]}
    schema = {"rows": "CREATE TABLE rows (name TEXT PRIMARY KEY, text TEXT NOT NULL, more TEXT) STRICT"}
    for _ in range(2):
        newer = Store(path, schema, 3, upgrades)
        newer.open()
        rows = newer.run(lambda connection: connection.execute("SELECT name, more FROM rows").fetchall())
        newer.close()

        assert rows == [("a", "a!")]


def test_an_older_file_on_a_full_disk_goes_on_in_memory(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upgrade is done in memory, and written once there is room."""
    put(store, "a")
    store.close()
    newer = Store(path, SCHEMA, 2, {1: ["UPDATE rows SET name = name || '!'"]})
    upgrade, failures = newer._upgrade, [sqlite3.OperationalError("database or disk is full")]
    failures[0].sqlite_errorcode = sqlite3.SQLITE_FULL

    def full_once(connection: sqlite3.Connection) -> None:
        upgrade(connection)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(newer, "_upgrade", full_once)
    monkeypatch.setattr(newer, "mend", lambda: None)
    newer.open()
    in_memory, problem = names(newer), newer.problem
    monkeypatch.undo()
    newer.mend()
    newer.close()
    again = Store(path, SCHEMA, 2, {})
    again.open()

    assert problem.endswith("database or disk is full")
    assert in_memory == names(again) == ["a!"]
    again.close()
    assert not path.with_suffix(".damaged").exists()
