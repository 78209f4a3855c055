"""Whether anyone but the receiver can write entries that count as the receiver's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.in_force import in_force
from fleet_health.config.loading import load
from fleet_health.config.match_trust import match_warnings
from fleet_health.errors import ConfigError

if TYPE_CHECKING:
    from tests.conftest import RunCommand

_GUIDE = (Path(__file__).parents[2] / "packaging/doc/another-receiver.md").read_text()
_SECTION = _GUIDE.partition("## Which entries are the receiver's")[2].partition("\n## ")[0]


def warned(text: str, path: Path) -> list[str]:
    """Return the warnings about a configuration, with the fields that each is about."""
    path.write_text(text)
    return [
        re.findall("entries with (.*?), which then", one)[0] for one in match_warnings(load(path).receivers[0].journal)
    ]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        pytest.param('["CONTAINER_NAME=a"]', ["CONTAINER_NAME=a"], id="a field that anyone can set"),
        pytest.param('["SYSLOG_IDENTIFIER=a", "X=1"]', ["SYSLOG_IDENTIFIER=a and X=1"], id="two of them"),
        pytest.param('["_COMM=nginx", "_EXE=/usr/sbin/nginx"]', ["_COMM=nginx and _EXE=/usr/sbin/nginx"],
                     id="a program that anyone can run"),
        pytest.param('["_SYSTEMD_USER_UNIT=a.service"]', ["_SYSTEMD_USER_UNIT=a.service"],
                     id="a unit that any user can have"),
        pytest.param('["_SYSTEMD_USER_UNIT=a.service", "_UID=1"]', [], id="that of one user"),
        pytest.param('["CONTAINER_NAME=a", "_SYSTEMD_UNIT=docker.service"]', [], id="with the unit that writes it"),
        pytest.param('["A=1", "_UID=0", "+", "B=1"]', ["B=1"], id="one alternative of two"),
        pytest.param('["A=1"]\nunit = "docker"', [], id="within a unit"),
    ],
)  # fmt: skip
def test_fields_that_prove_nothing(match: str, expected: list[str], tmp_path: Path) -> None:
    """Each alternative must name the writer of its entries, unless the unit does."""
    assert warned(f"[journal]\nmatch = {match}\n", tmp_path / "config.toml") == expected


def test_the_examples_of_the_guide_are_good(tmp_path: Path) -> None:
    """Each is valid, and no one else can write what it selects."""
    examples = re.findall(r"```toml\n(.*?)```", _SECTION, re.DOTALL)

    assert len(examples) == 6
    assert [warned(example, tmp_path / "config.toml") for example in examples] == [[]] * 6


def test_the_command_warns(tmp_path: Path, run_command: RunCommand) -> None:
    """It names who can write such entries and the remedy; the configuration is valid all the same."""
    path = tmp_path / "config.toml"
    path.write_text('[journal]\nmatch = "CONTAINER_NAME=receiver"\n')
    done = run_command("config", "check", "--config", path)
    document = run_command("config", "check", "--config", path, "--json").documents[0]

    assert done.status == 0
    assert done.stdout.splitlines() == [f"{path}: warning: {document['warnings'][0]}", f"{path}: good"]
    assert "any user of this machine can write entries with CONTAINER_NAME=receiver" in done.stdout


def test_the_default_unit_is_out_of_force_beside_fields(tmp_path: Path) -> None:
    """Unless a unit is set, the fields alone decide, and `config show` says so."""
    path = tmp_path / "config.toml"
    path.write_text("")
    default = load(path)
    path.write_text('journal.match = "_UID=7"')
    alone = load(path)
    path.write_text('journal.match = "_UID=7"\njournal.unit = "a"')
    both = load(path)

    assert [one.receivers[0].journal.units for one in (default, alone, both)] == [
        ("cis490-receiver.service",),
        (),
        ("a.service",),
    ]
    shown = in_force(alone.document, path)["journal.unit"]
    assert (shown.value, shown.origin) == (None, "off: journal.match is configured, and journal.unit is not")


def test_a_unit_is_set_in_one_place(tmp_path: Path) -> None:
    """Two units would match nothing, because an entry has only one."""
    path = tmp_path / "config.toml"
    path.write_text('[journal]\nunit = "a"\nmatch = "_SYSTEMD_UNIT=b.service"\n')

    with pytest.raises(ConfigError, match=r'journal\.match: expected the unit in journal\.unit only, found "_SYSTEMD_'):
        load(path)


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        pytest.param('unit = "r@1"', 'unit = "r@*"', True, id="an instance, and all of them"),
        pytest.param('unit = ["a", "r@*"]', 'unit = ["b", "r@1"]', True, id="all instances, and one of them"),
        pytest.param('unit = "r@1"', 'unit = "r@2"', False, id="two instances"),
        pytest.param('match = "A=1"', 'match = "A=1"', True, id="the same fields"),
        pytest.param('unit = "d"\nmatch = "A=1"', 'unit = "d"\nmatch = "A=2"', False, id="other fields of one unit"),
    ],
)
def test_no_line_counts_for_two_receivers(first: str, second: str, is_shared: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Two receivers with a glob in common would count the same uploads."""
    path = tmp_path / "config.toml"
    path.write_text(
        "".join(
            f'[[receivers]]\nname = "{name}"\nindex.path = "{name}"\n[receivers.journal]\n{journal}\n'
            for name, journal in (("one", first), ("two", second))
        )
    )
    try:
        load(path)
    except ConfigError as error:
        found = [problem.place for problem in error.problems]
    else:
        found = []

    assert found == ["receivers[2].journal.unit"] * is_shared
