"""The directories in which libsystemd looks for a journal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.sources.journal import directories
from fleet_health.sources.journal.directories import every_place, places

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = load(None).receivers[0].journal
MACHINE = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def machine_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a machine id and one root of journals; return the file of the id."""
    file = tmp_path / "machine-id"
    file.write_text(f"{MACHINE}\n")
    monkeypatch.setattr(directories, "_MACHINE_ID", file)
    monkeypatch.setattr(directories, "_ROOTS", (tmp_path,))
    return file


def test_a_namespace_has_directories_of_its_own(tmp_path: Path) -> None:
    """Systemd's messages about its units are in the default namespace all the same."""
    own = replace(SETTINGS, namespace="lab")

    assert places(SETTINGS) == every_place(SETTINGS) == [tmp_path / MACHINE]
    assert places(own) == [tmp_path / f"{MACHINE}.lab"]
    assert every_place(own) == [tmp_path / f"{MACHINE}.lab", tmp_path / MACHINE]


def test_without_a_machine_id_there_is_no_journal(machine_id: Path, tmp_path: Path) -> None:
    """The reader then looks in a directory that does not exist."""
    machine_id.unlink()

    assert places(SETTINGS) == [tmp_path / "machine-id"]


def test_a_directory_of_ones_own_may_have_one_of_each_machine(tmp_path: Path) -> None:
    """Other subdirectories and files named like a machine do not count."""
    own = replace(SETTINGS, directory=tmp_path)
    below = [tmp_path / ("a" * 32), tmp_path / ("b" * 32)]
    for directory in (*below, tmp_path / "other"):
        directory.mkdir()
    (tmp_path / ("c" * 32)).touch()

    assert places(own) == [tmp_path, *below]
    assert places(replace(SETTINGS, directory=tmp_path / "missing")) == [tmp_path / "missing"]
