"""A forked process of `fleet-health` behaves as one that was started by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig import zygote
from tests.rig.fake_clock import FakeClock, find_libfaketime
from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import plain_environment

if TYPE_CHECKING:
    from tests.conftest import DoWithout, StartService
    from tests.rig.site import Site


def test_status_and_output_are_those_of_an_own_interpreter() -> None:
    """Help, a usage error and a refused configuration: the same status, and the same bytes on both streams."""
    for arguments in (["--help"], ["check", "--now", "yesterday"], ["config", "check", "--config", "/nonexistent"]):
        own = subprocess.run(
            [sys.executable, "-m", "fleet_health", *arguments],
            env=plain_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        forked = zygote.run(arguments, env=plain_environment(), timeout=PATIENCE_S)

        assert (forked.returncode, forked.stdout, forked.stderr) == (own.returncode, own.stdout, own.stderr)


def test_environment_and_directory_are_those_given(tmp_path: Path) -> None:
    """What is not given is not inherited; relative paths are relative to the directory that was given."""
    (tmp_path / "bad.toml").write_text("nonsense = 1\n")
    with Path(os.devnull).open("r+b") as null, (tmp_path / "out").open("w+b") as out:
        process = zygote.ForkedProcess(
            ["config", "check", "--config", "bad.toml"],
            env={"COLUMNS": "200"},
            stdin=null.fileno(),
            stdout=out.fileno(),
            stderr=out.fileno(),
            cwd=str(tmp_path),
        )

        assert process.wait(PATIENCE_S) != 0
        assert "nonsense" in (tmp_path / "out").read_text()


def test_each_process_has_a_clock_of_its_own(site: Site, do_without: DoWithout) -> None:
    """Those forked from one zygote with libfaketime go by the files that each was given, and as they are set later."""
    if (library := find_libfaketime()) is None:
        do_without("libfaketime is not installed")
    site.show_all_symptoms()
    site.sync_journal()

    def minutes_ahead(clock: FakeClock) -> int:
        arguments = ["check", "--json", "--config", str(site.config)]
        done = zygote.run(arguments, env=plain_environment() | clock.environment, timeout=PATIENCE_S)
        found_at = datetime.fromisoformat(json.loads(done.stdout.splitlines()[0])["detected_at_wall"])
        return round((found_at.timestamp() - time.time()) / 60)

    clocks = [FakeClock(library, site.directory / str(minutes), minutes * 60) for minutes in (10, 20)]
    first = [minutes_ahead(clock) for clock in clocks]
    clocks[0].set(5 * 60)

    assert (first, minutes_ahead(clocks[0])) == ([10, 20], 5)


def test_a_prelude_alters_its_own_process_alone(tmp_path: Path) -> None:
    """It runs before the command, which it may end with a message. The next process is as if it had not been."""
    path = tmp_path / "err"

    def run(prelude: str) -> tuple[int, str]:
        with Path(os.devnull).open("r+b") as null, path.open("wb") as err:
            process = zygote.ForkedProcess(
                ["--version"], env={}, stdin=null.fileno(), stdout=null.fileno(), stderr=err.fileno(), prelude=prelude
            )
            return process.wait(PATIENCE_S), path.read_text()

    assert run("sys.altered = True\nsys.exit('over')") == (1, "over\n")
    assert run("assert not hasattr(sys, 'altered')") == (0, "")


def test_a_killed_process_reports_its_signal(site: Site, start_service: StartService) -> None:
    """SIGKILL ends it, and the status is the negative number of the signal, as with subprocess."""
    with start_service(site) as service:
        service.until_ready()

        assert service.process.poll() is None
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL
