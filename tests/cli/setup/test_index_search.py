"""Which files are taken for an index, and how their rows are read."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.cli.setup.index_search import find_indexes, places_of, read_index

if TYPE_CHECKING:
    from tests.conftest import Eventually

AT = "2026-11-23T18:55:00+00:00"


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    """Write each row on a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ({"host_id": "pi-1", "received_at_wall": AT, "bytes": 1}, ("host_id", "received_at_wall")),
        ({"ts": AT, "device": "pi-1", "sha": "abc"}, ("device", "ts")),
        ({"made_at": AT, "received_at": AT, "hostname": "pi-1"}, ("hostname", "received_at")),
        ({"who": "pi-1", "file": "x", "at": AT}, ("who", "at")),
    ],
)
def test_the_keys_are_found(row: dict[str, Any], keys: tuple[str, str], tmp_path: Path) -> None:
    """They are found by their usual names, or by the hosts of the journal."""
    found = read_index(write(tmp_path / "index.jsonl", *[row] * 5), {"pi-1", "pi-2"})

    assert found is not None
    assert (found.host_field, found.time_field, dict(found.hosts)) == (*keys, {"pi-1": 5})
    assert found.shared({"pi-1", "pi-2"}) == 1


@pytest.mark.parametrize(
    "rows",
    [
        [],
        ["no JSON"],
        [{"host_id": "pi-1"}],
        [{"at": AT}],
        [{"host_id": "pi-1", "at": "yesterday"}],
        [{"host_id": 7, "received_at_wall": AT}],
        [{"host": "pi-1", "symptom": "silent", "dedup_key": "0", "detected_at_wall": AT}],
    ],
    ids=["empty", "text", "no time", "no host", "no instant", "no name", "our own alert log"],
)
def test_other_files_are_none(rows: list[dict[str, Any] | str], tmp_path: Path) -> None:
    """A file without hosts or times in its rows is no index. Neither is an alert log."""
    assert read_index(write(tmp_path / "index.jsonl", *rows)) is None


def test_what_is_no_file_is_none(tmp_path: Path) -> None:
    """A pipe does not block the search."""
    os.mkfifo(tmp_path / "index.jsonl")

    assert read_index(tmp_path / "index.jsonl") is None
    assert read_index(tmp_path) is None
    assert read_index(tmp_path / "missing") is None


def test_only_the_latest_rows_of_a_long_file_are_read(tmp_path: Path) -> None:
    """The first row may lack its beginning, and the last one may still be incomplete."""
    path = write(tmp_path / "index.jsonl", *({"host_id": f"pi-{n % 3}", "received_at_wall": AT} for n in range(9_000)))
    with path.open("a") as file:
        file.write('{"host_id": "pi-')

    found = read_index(path)

    assert found is not None
    assert (found.rows, set(found.hosts)) == (500, {"pi-0", "pi-1", "pi-2"})


def test_of_several_the_one_with_the_hosts_of_the_journal_comes_first(tmp_path: Path) -> None:
    """The search descends into directories, but not into hidden ones, and skips files with other suffixes."""
    write(tmp_path / "a/index.jsonl", {"host_id": "other", "received_at_wall": AT})
    write(tmp_path / "b/uploads.jsonl", {"host_id": "pi-1", "received_at_wall": AT})
    write(tmp_path / ".hidden/index.jsonl", {"host_id": "pi-1", "received_at_wall": AT})
    write(tmp_path / "c/notes.txt", {"host_id": "pi-1", "received_at_wall": AT})

    found = find_indexes([tmp_path], {"pi-1"})

    assert [str(one.path.relative_to(tmp_path)) for one in found] == ["b/uploads.jsonl", "a/index.jsonl"]


def test_a_process_shows_where_it_writes(tmp_path: Path, eventually: Eventually) -> None:
    """Open files, arguments, environment and working directory count, except variables that every shell sets."""
    opened, named, elsewhere = tmp_path / "open.jsonl", tmp_path / "named.jsonl", tmp_path / "elsewhere"
    with (
        opened.open("w") as file,
        subprocess.Popen(
            ["sleep", "600"],
            cwd=tmp_path,
            env={"INDEX": str(named), "PATH": os.environ["PATH"], "OLDPWD": str(elsewhere), "HOME": str(elsewhere)},
            stdout=file,
        ) as process,
    ):
        try:
            environment = Path(f"/proc/{process.pid}/environ")
            eventually(lambda: b"INDEX=" in environment.read_bytes(), "its program")
            places = list(places_of(None, [process.pid]))
        finally:
            process.kill()

    assert {opened, named, tmp_path} <= set(places)
    assert elsewhere not in places
    assert list(places_of(None, [process.pid])) == []
