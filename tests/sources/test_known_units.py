"""Which units systemd knows, from its unit files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.sources.journal import known_units
from fleet_health.sources.journal.known_units import alias_of, is_known_unit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have units in two directories, and a third that is not there."""
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    monkeypatch.setattr(known_units, "_SEARCH_PATH", (tmp_path / "missing", etc, lib))
    etc.mkdir()
    lib.mkdir()
    for name in ("plain.service", "of-many@.service", "one@first.service", "old@.timer"):
        (lib / name).touch()
    (etc / "alias.service").symlink_to(lib / "plain.service")
    (etc / "masked.service").symlink_to("/dev/null")
    (etc / "nowhere.service").symlink_to(lib / "gone.service")
    (etc / "of-many@one.service").symlink_to(lib / "of-many@.service")
    return tmp_path


@pytest.mark.parametrize(
    ("unit", "is_known"),
    [
        ("plain.service", True),
        ("alias.service", True),
        ("masked.service", True),
        ("nowhere.service", False),
        ("gone.service", False),
        ("plain.timer", False),
        ("of-many@7.service", True),
        ("of-many@.service", True),
        ("of-many@7.timer", False),
        ("one@first.service", True),
        ("one@second.service", False),
        ("pl*.service", True),
        ("*.socket", False),
        ("of-many@*.service", True),
        ("of-many@*", True),
        ("of-many@7*", True),
        ("of-man*@*.service", True),
        ("old@*.service", True),
        ("new@*.service", False),
        ("[x]*", False),
    ],
)
def test_a_unit_is_known_by_a_file_of_its_own_or_of_its_template(unit: str, *, is_known: bool) -> None:
    """For a glob any matching unit counts, instances included; a dangling link is not a file."""
    assert is_known_unit(unit) == is_known


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("alias.service", "plain.service"),
        ("plain.service", None),
        ("masked.service", None),
        ("nowhere.service", None),
        ("of-many@one.service", None),
        ("gone.service", None),
    ],
)
def test_an_alias_has_the_name_that_the_journal_has(unit: str, name: str | None) -> None:
    """A masked unit or an instance of a template is not an alias."""
    assert alias_of(unit) == name
