"""Which names a file may have after a rotation, and which files are read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fleet_health.files.rotation import is_rotated_name, rotated_files, without_compression

if TYPE_CHECKING:
    from pathlib import Path

ROTATED = [
    "index.jsonl.1",
    "index.jsonl.12",
    "index.jsonl.0",
    "index.jsonl.1.gz",
    "index.jsonl.gz",
    "index.jsonl-20261123",
    "index.jsonl-20261123.zst",
    "index.jsonl-2026-11-23_10",
    "index.jsonl.2026-11-23_10-00-00",
    "index.jsonl_2026-11-23T10:00:00+0000.xz",
    "index.jsonl-1795460100.bz2",
    "index.jsonl.old",
    "index.jsonl-old",
    "index.jsonl.bak",
    "index.jsonl.1.bak",
    "index.1.jsonl",
    "index.1.jsonl.gz",
    "index-20261123.jsonl",
    "index-2026-11-23_10.jsonl.gz",
    "index.2026-11-23_10-00-00_123456.jsonl",
    "index-2026-11-23T10-00-00.000.jsonl",
    "index-1795460100.jsonl",
]
OTHERS = [
    "index.jsonl",
    "index-2.jsonl",
    "index2.jsonl",
    "index.jsonl2",
    "index.jsonl.tmp",
    "index.jsonl.lock",
    "index.jsonl.1.tmp",
    "index.jsonl.1.sha256",
    "index.json",
    "other-20261123.jsonl",
    "index-lab.jsonl",
    "index..jsonl",
    ".index.jsonl.swp",
    "an-index.jsonl.1",
]


@pytest.mark.parametrize("name", ROTATED)
def test_a_name_that_rotation_gives(name: str) -> None:
    """A number, a date or `old`, after the name or before its suffix, perhaps with a suffix of a compressor."""
    assert is_rotated_name("index.jsonl", name)


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_another_file_has(name: str) -> None:
    """The file itself, temporary files, checksums, and what may be the index of another receiver."""
    assert not is_rotated_name("index.jsonl", name)


def test_a_name_without_a_suffix() -> None:
    """Its rotated names only extend it."""
    names = ["index.1", "index-20261123.gz", "index1", "index", "20261123"]

    assert [name for name in names if is_rotated_name("index", name)] == names[:2]


def test_the_name_before_compression() -> None:
    """Only the last suffix counts, if it is one of a compressor."""
    assert [without_compression(name) for name in ("a.gz", "a.gz.1", "a.1.zst", "a.jsonl")] == [
        "a",
        "a.gz.1",
        "a.1",
        "a.jsonl",
    ]


def test_files_are_given_once_by_the_time_they_were_written(tmp_path: Path) -> None:
    """Those from `since` on, the latest last, each once; no directories, and not the file itself."""
    names = ["index.jsonl.1", "index.jsonl.3", "index.jsonl.2.gz", "old.jsonl"]
    for at, name in enumerate(["index.jsonl", *reversed(names)]):
        (tmp_path / name).write_bytes(b"{}\n")
        os.utime(tmp_path / name, ns=(at * 1_000_000, at * 1_000_000))
    (tmp_path / "index.jsonl.4").mkdir()
    (tmp_path / "index.jsonl.5").symlink_to("nothing")
    (tmp_path / "index.jsonl.6").symlink_to("index.jsonl.1")
    globs = ["*.jsonl*", str(tmp_path / "old*")]
    found = rotated_files(tmp_path / "index.jsonl", globs, 2_000)

    assert [file.name for file in found][:2] == ["index.jsonl.2.gz", "index.jsonl.3"]
    assert found[2].resolve() == tmp_path / "index.jsonl.1"
    assert len(found) == 3
    assert len(rotated_files(tmp_path / "index.jsonl", globs, 0)) == 4


def test_a_file_that_is_being_compressed_is_left_to_what_it_is_made_of(tmp_path: Path) -> None:
    """While both exist, the compressed one is incomplete."""
    for name in ("index.jsonl.1", "index.jsonl.1.gz", "index.jsonl.2.gz"):
        (tmp_path / name).write_bytes(b"{}\n")

    assert sorted(file.name for file in rotated_files(tmp_path / "index.jsonl", (), 0)) == [
        "index.jsonl.1",
        "index.jsonl.2.gz",
    ]
