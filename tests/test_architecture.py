"""What the code promises about its own shape."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fleet_health
from tests.rig.patience import PATIENCE_S

PACKAGE = Path(fleet_health.__file__).parent
ROOT = Path(__file__).parents[1]
# The service runs on a Raspberry Pi: what only other commands need is not to weigh on it.
NOT_FOR_THE_SERVICE = {
    "rich",
    "shtab",
    "uvicorn",
    "matplotlib",
    "urllib3",
    "importlib.metadata",
    "statistics",
    "email",
    "ssl",
    "jinja2",  # imported with the first page that is asked for
    "fleet_health.api.page.rendering",
    "fleet_health.demo",
    "fleet_health.cli.check",
    "fleet_health.cli.commands.check",
    "fleet_health.cli.commands.completion",
    "fleet_health.cli.commands.demo",
    "fleet_health.cli.plot.plot",
    "fleet_health.cli.commands.replay",
}
CORE = ("model", "detectors", "alerting")
# `asyncio` for one brings in `os` and `time`; what counts is what the core itself asks for.
NOT_FOR_THE_CORE = {"asyncio", "os", "time", "pathlib", "io", "logging", "socket", "subprocess", "threading"}

RUN_AND_TELL = """
import sys
from fleet_health.__main__ import main
status = main(["run", "--config", sys.argv[1]])
print(status, *(name for name, module in sys.modules.items() if module))
"""


def imports(module: Path) -> set[str]:
    """Return the packages that a module imports, at run time or for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_service_carries_nothing_that_only_other_commands_need(tmp_path: Path) -> None:
    """`fleet-health run` gets as far as its configuration without the demo, its libraries, or the check."""
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}

    run = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL, tmp_path / "missing.toml"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )

    status, *modules = run.stdout.split()
    assert status == "2"
    assert "fleet_health.daemon.composition" in modules
    assert NOT_FOR_THE_SERVICE & set(modules) == set()


def test_imports_run_strictly_downward() -> None:
    """The contracts in pyproject.toml hold."""
    run = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    "module",
    [PACKAGE / "engine.py", *sorted(module for floor in CORE for module in (PACKAGE / floor).rglob("*.py"))],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_the_core_asks_for_no_clock_and_no_file(module: Path) -> None:
    """Time and observations are given to it."""
    assert imports(module) & NOT_FOR_THE_CORE == set()
