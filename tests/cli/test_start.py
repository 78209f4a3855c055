"""What a command imports before it does anything: on a small machine that is what one waits for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import plain_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Site

_PROGRAM = """
import json, sys
from fleet_health.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""
_SLOW = ("asyncio", "structlog", "msgspec", "aiofiles", "systemd", "hashlib", "zoneinfo", "difflib", "email", "rich")
"""What takes several milliseconds, and what each of these commands can do without."""
_ALL_KEYS = "fleet_health.config.schema"


def imported(*arguments: str | Path) -> set[str]:
    """Run a command in an interpreter of its own, and return the names of all modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, arguments)],
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_list_of_commands_imports_none() -> None:
    """`--help` needs only their summaries."""
    modules = imported("--help")

    assert {name for name in modules if name.startswith("fleet_health.cli.commands.")} == set()
    assert modules.isdisjoint({*_SLOW, "typing", "shutil"})


def test_the_version_imports_no_command() -> None:
    """The version is that of the installed package."""
    modules = imported("--version")

    assert {name for name in modules if name.startswith("fleet_health.cli.commands.")} == set()
    assert modules.isdisjoint({"asyncio", "structlog", "msgspec"})


def test_a_list_of_silences_imports_little(site: Site) -> None:
    """It only reads a file, and needs neither the parser of silences nor the symptoms."""
    site.configure()

    modules = imported("silence", "list", "--config", site.config)

    assert "fleet_health.cli.commands.silence" in modules
    assert modules.isdisjoint({*_SLOW, _ALL_KEYS, "fleet_health.detectors.registry"} - {"msgspec"})
    assert modules.isdisjoint({"fleet_health.cli.client", "fleet_health.api.requests", "socket"})


@pytest.mark.parametrize("command", ["status", "explain"])
def test_a_question_to_the_service_imports_little(command: str, site: Site) -> None:
    """It needs no detector, no schema of the configuration and no logger."""
    site.configure()

    modules = imported(command, *(["pi-1"] if command == "explain" else []), "--config", site.config)

    assert f"fleet_health.cli.commands.{command}" in modules
    assert modules.isdisjoint((*_SLOW, _ALL_KEYS, "fleet_health.detectors.registry"))
