"""The directories in which libsystemd looks for a journal."""

from __future__ import annotations

import grp
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.sources.journal import directories
from fleet_health.sources.journal.directories import every_place, no_permission, places

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


@pytest.mark.parametrize(
    ("place", "group", "advice"),
    [
        ("persistent", "another", "`systemd-tmpfiles --create --prefix "),
        ("persistent", "systemd-journal", "add the user of this service to group systemd-journal"),
        ("copied", "another", "add the user of this service to group systemd-journal"),
        ("missing", "", "add the user of this service to group systemd-journal"),
    ],
)
def test_who_may_not_read_a_journal_is_advised(
    place: str, group: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journald makes a persistent journal after the boot, and its group cannot read it: the user may be a member."""
    monkeypatch.setattr(directories, "_PERSISTENT", tmp_path / "persistent")
    file = tmp_path / place / "system.journal"
    if place != "missing":
        file.parent.mkdir()
        file.touch()
        file_group = os.getgid() if group == "systemd-journal" else os.getgid() + 1
        monkeypatch.setattr(grp, "getgrnam", lambda _: SimpleNamespace(gr_gid=file_group))

    assert advice in no_permission(file).of_service
