"""The command line itself: which commands there are, and what it says of them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_each_command_explains_itself(command: str, run_command: RunCommand) -> None:
    """`--help` of a command names its options and is a success."""
    done = run_command(command, "--help")

    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: fleet-health {command} ")


def test_the_program_names_its_commands(run_command: RunCommand) -> None:
    """`--help` alone lists them all."""
    done = run_command("--help")

    assert done.status == 0
    assert all(f"    {command} " in done.stdout for command in ("run", "check", "demo"))


def test_every_option_of_check_is_explained(run_command: RunCommand) -> None:
    """None of those that scripts rely on is missing."""
    shown = run_command("check", "--help").stdout
    options = (
        "--config --index-path --alerts-path --journal-directory --lookback-hours --silent-threshold-min"
        " --recent-window-min --fatal-ratio-threshold --fatal-min-count --log-level --now --json --dry-run"
    )

    assert [option for option in options.split() if option not in shown] == []


@pytest.mark.parametrize("arguments", [[], ["watch"], ["run", "--no-such-option"], ["run", "extra"]])
def test_what_is_no_command_is_refused(arguments: list[str], run_command: RunCommand) -> None:
    """With the usage, on stderr, and exit status 2."""
    done = run_command(*arguments)

    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: fleet-health")


def test_it_knows_its_version(run_command: RunCommand) -> None:
    """The installed package's."""
    assert run_command("--version").stdout == f"fleet-health {version('fleet-health')}\n"


def test_a_reader_that_leaves_early_is_no_error(site: Site) -> None:
    """`check | head` shows its first lines, and no traceback."""
    site.ship(*(f"quiet-{number}" for number in range(3_000)), minutes_ago=45)
    site.ship("well")
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet_health", "check", "--dry-run", "--config", site.config],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    process.wait()

    assert first == b"quiet-0: silent\n"
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [(">/dev/full", 74, "stdout cannot be written: No space left on device\n"), (">&-", 0, "")],
    ids=["a full disk", "closed"],
)
def test_a_stdout_that_takes_nothing_is_no_traceback(redirection: str, status: int, said: str, site: Site) -> None:
    """A full disk is named, and is not taken for a finding; who closes stdout wants the exit status alone."""
    command = shlex.join([sys.executable, "-m", "fleet_health", "config", "show", "--config", str(site.config)])
    done = subprocess.run(["sh", "-c", f"{command} {redirection}"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (status, said)


def test_a_locale_without_a_character_has_it_escaped(site: Site) -> None:
    """Rather than none of the text."""
    site.configure("[hosts]\nexpected = ['b\u00fcro', '\u673a']")
    done = subprocess.run(
        [sys.executable, "-m", "fleet_health", "config", "show", "--config", site.config],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )

    assert b'hosts.expected = ["b\xfcro", "\\u673a"]' in done.stdout


def test_the_service_does_not_load_what_only_other_commands_need() -> None:
    """On a small machine every import counts."""
    code = (
        "import sys; from fleet_health.cli.parser import build_parser; build_parser(['run']);"
        " print([name for name in ('uvicorn', 'fleet_health.cli.demo', 'fleet_health.cli.check')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
