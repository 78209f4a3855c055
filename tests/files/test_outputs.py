"""Whether the service can write where its configuration tells it to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fleet_health.config.loading import load
from fleet_health.files.outputs import Output, outputs, unwritable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def output(directory: Path, file: str | None = None, *, is_created: bool = False) -> Output:
    """Make an output in a directory."""
    return Output("a.key", directory, None if file is None else directory / file, "a.conf", is_created)


def test_each_place_is_listed(tmp_path: Path) -> None:
    """Except those that are off."""
    (path := tmp_path / "config.toml").write_text(
        'alerts.path = "/a/alerts"\nstate.directory = "/b"\nmetrics.textfile = "/c/x.prom"\npage.directory = "/d"'
    )

    every = {one.key: str(one.directory) for one in outputs(load(path))}
    default = [one.key for one in outputs(load(None))]

    assert every == {"alerts.path": "/a", "state.directory": "/b", "metrics.textfile": "/c", "page.directory": "/d"}
    assert default == ["alerts.path", "state.directory"]


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    """A directory that is missing, is none, or is on a read-only file system; a path that is not a file."""
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()

    assert unwritable(output(tmp_path, "new")) == unwritable(output(tmp_path, "file")) == ""
    assert unwritable(output(tmp_path / "none")) == f"{tmp_path}/none: No such file or directory"
    assert unwritable(output(tmp_path / "file")) == f"{tmp_path}/file: expected a directory, found another file"
    assert unwritable(output(tmp_path, "directory")) == f"{tmp_path}/directory: expected a file, found a directory"


def test_a_directory_that_the_service_creates_may_be_missing(tmp_path: Path) -> None:
    """Then the directory above it decides."""
    (tmp_path / "file").write_text("")

    assert unwritable(output(tmp_path / "a" / "b", is_created=True)) == ""
    assert unwritable(output(tmp_path / "file" / "b", is_created=True)).startswith(f"{tmp_path}/file")


def test_a_file_system_that_is_read_only_points_to_the_drop_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The unit makes everything except its own directories read-only."""

    class Mounted:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _: Mounted)

    assert unwritable(output(tmp_path)) == (
        f"{tmp_path}: read-only; the unit lets the service write only to its own directories: see drop-ins/a.conf"
    )


def test_a_place_of_another_user_is_forbidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The directory, or an existing file."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path / "file")
    of_file = unwritable(output(tmp_path, "file"))
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert of_file == f"{tmp_path}/file: permission denied; let the user of the service write it"
    assert unwritable(output(tmp_path)) == f"{tmp_path}: permission denied; let the user of the service write there"
