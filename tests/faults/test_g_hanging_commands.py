"""G15: a command ends when a disk or a network mount that it reads hangs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import plain_environment
from tests.rig.zygote import ForkedProcess

if TYPE_CHECKING:
    from tests.conftest import HangingMount, RunCommand, Site

HURRIED = """
from fleet_health.files import hang_watch

hang_watch.work_in_a_child.__kwdefaults__["limit_s"] = 2.0
"""


def run_hurried(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command that waits two seconds for a disk, as a shell does that collects what it prints."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    with Path(os.devnull).open("rb") as null:
        process = ForkedProcess(
            [str(argument) for argument in arguments],
            env=plain_environment(),
            stdin=null.fileno(),
            stdout=out_end,
            stderr=err_end,
            prelude=HURRIED,
        )
    os.close(out_end)
    os.close(err_end)
    # A shell waits until nobody can write into the pipes any more.
    with os.fdopen(out) as stdout, os.fdopen(err) as stderr:
        texts = stdout.read(), stderr.read()
    return subprocess.CompletedProcess(arguments, process.wait(PATIENCE_S), *texts)


@pytest.mark.parametrize("command", [("check", "--dry-run"), ("replay", "--since", "1h")], ids=["check", "replay"])
@pytest.mark.parametrize("place", ["index", "journal", "state", "config"])
@pytest.mark.fault("G15", rig="FUSE", says="`check` and `replay` end when a mount hangs that they read, and name it")
def test_G15_a_command_ends_when_what_it_reads_hangs(
    place: str, command: tuple[str, ...], site: Site, hanging_mount: HangingMount, run_command: RunCommand
) -> None:
    """With a status that says so, though the process that waits for it can only be ended later; else they work."""
    if place == "journal":
        site.journal_directory = hanging_mount.behind / "journal"
    elif place == "index":
        site.index = hanging_mount.path / "index.jsonl"
    site.show_all_symptoms()
    site.sync_journal()
    state = (hanging_mount.path if place == "state" else site.directory) / "state"
    state.mkdir()
    journal = hanging_mount.path / "journal" if place == "journal" else site.journal_directory
    config = site.configure(tick="5m", state=state, journal=journal)
    if place == "config":
        config = hanging_mount.path / "config.toml"
        config.write_text(site.config.read_text())
    before = run_command(*command, "--config", config)
    hanging_mount.hang()
    with hanging_mount:
        hung = run_hurried(*command, "--config", config)

    assert (before.status, "quiet" in before.stdout) == (0, True), before.stderr
    assert (hung.returncode, hung.stdout) == (2, "")
    assert "no response for 2 s; check whether its disk or network mount hangs" in hung.stderr
    assert hung.stderr.startswith(str(hanging_mount.path))
