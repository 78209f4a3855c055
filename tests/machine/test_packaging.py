"""What the package promises without a machine: it agrees with the program, and it is valid."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fleet_health.records.journal_sink import MESSAGE_IDS, NOTICE_IDS

_PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


def test_catalog_explains_every_kind_of_alert() -> None:
    """The message catalog has an entry for the message id of each symptom and notice, and for no other."""
    catalog = (_PACKAGING / "fleet-health.catalog").read_text()

    explained = set(re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.MULTILINE))

    assert explained == {*MESSAGE_IDS.values(), *NOTICE_IDS.values()}


def test_the_catalog_repeats_no_times() -> None:
    """The line above it shows them in the reader's zone; the field of the detail is for programs, in UTC."""
    assert "@FLEET_DETAIL@" not in (_PACKAGING / "fleet-health.catalog").read_text()


def test_no_command_in_the_catalog_holds_a_field() -> None:
    """`journalctl -x` fills in the fields of a stranger's entry with our id too: not into what is copied to a shell."""
    catalog = (_PACKAGING / "fleet-health.catalog").read_text()

    assert [line for line in catalog.splitlines() if "@" in line and re.search(r"^\s|[`'$]|--", line)] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze to ask")
@pytest.mark.parametrize(("name", "most"), [("fleet-health", 6), ("fleet-health-notify", 13)])
def test_unit_is_hardened(name: str, most: int) -> None:
    """The unit's exposure is 0.6 or less, of 10; that of the one that has the network, no more than that adds."""
    unit = _PACKAGING / f"{name}.service"

    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={most}", unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("arguments", [["--unheard-of"], ["--purge"]], ids=["unknown", "purge without uninstall"])
def test_installer_refuses_arguments(arguments: list[str]) -> None:
    """What the installer cannot make sense of is exit status 2, with the usage, before anything is done."""
    result = subprocess.run([_PACKAGING / "install.sh", *arguments], capture_output=True, text=True, check=False)

    assert result.returncode == 2
    assert arguments[0] in result.stderr
    assert "usage: install.sh" in result.stderr
    assert result.stdout == ""
