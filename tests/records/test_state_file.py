"""The state file: replaced as a whole, or left as it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from fleet_health.errors import SinkUnavailable
from fleet_health.records.state_file import StateFile, encoded

if TYPE_CHECKING:
    from pathlib import Path


class State(msgspec.Struct):
    """Something to keep."""

    number: int
    names: list[str] = []


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    """The directory is created; the file is readable by its group only."""
    file = StateFile(tmp_path / "state", State)
    before = file.load()
    file.save(encoded(State(1)))
    file.save(encoded(State(2, ["a"])))

    assert (before, file.load()) == (None, State(2, ["a"]))
    assert [entry.name for entry in file.path.parent.iterdir()] == ["state.json"]
    assert file.path.stat().st_mode & 0o777 & ~0o640 == 0


def test_every_directory_on_the_way_is_made(tmp_path: Path) -> None:
    """However many are missing, with access for the owner and group only."""
    file = StateFile(tmp_path / "a" / "b" / "c", State)
    file.save(encoded(State(1)))

    assert file.load() == State(1)
    assert all(path.stat().st_mode & 0o777 & ~0o750 == 0 for path in (tmp_path / "a").glob("**"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"names":["a"]}', b"\xff", b"[" * 100_000])
def test_what_is_damaged_is_set_aside(content: bytes, tmp_path: Path) -> None:
    """It is logged, kept for inspection, and not read again."""
    file = StateFile(tmp_path, State)
    file.path.write_bytes(content)

    with pytest.raises(SinkUnavailable, match=r"damaged, kept as state\.damaged"):
        file.load()

    assert file.load() is None
    assert (tmp_path / "state.damaged").read_bytes() == content


def test_a_key_of_a_later_version_does_no_harm(tmp_path: Path) -> None:
    """After a downgrade, everything that the earlier version knows is restored."""
    file = StateFile(tmp_path, State)
    file.path.write_bytes(b'{"number":1,"more":{}}')

    assert file.load() == State(1)


def test_a_disk_without_room_leaves_the_old_state(small_disk: Path) -> None:
    """The error gives the reason."""
    file = StateFile(small_disk, State)
    file.save(encoded(State(1)))
    (small_disk / "filler").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))

    with pytest.raises(SinkUnavailable, match=r"state\.json: No space left on device"):
        file.save(encoded(State(2, ["x" * 9_000])))

    assert file.load() == State(1)


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """Its target belongs to another user."""
    file, other = StateFile(tmp_path, State), tmp_path / "other"
    other.write_text("theirs")
    file.path.with_suffix(".new").symlink_to(other)

    file.path.symlink_to(other)
    file.save(encoded(State(1)))

    assert file.load() == State(1)
    assert other.read_text() == "theirs"
    assert not file.path.is_symlink()
