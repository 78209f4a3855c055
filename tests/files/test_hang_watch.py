"""A command in a child process that its parent watches: output and exit status are passed on, and a hang is noticed."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import plain_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PROLOGUE = """
import os, signal, sys, time
from pathlib import Path
from fleet_health.files.hang_watch import note_progress, touching, work_in_a_child

if (status := work_in_a_child(limit_s={limit_s})) is not None:
    sys.exit(status)
"""


def run(work: str, limit_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run Python code as the work of a watched child."""
    return subprocess.run(
        [sys.executable, "-c", PROLOGUE.format(limit_s=limit_s) + work],
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(
    ("work", "status"),
    [
        ("sys.exit(7)", 7),
        ("", 0),
        ("raise ValueError", 1),
        ("os.kill(os.getpid(), signal.SIGUSR1)", -signal.SIGUSR1),
    ],
)
def test_it_ends_as_the_work_does(work: str, status: int) -> None:
    """With the same exit status, or by the same signal."""
    assert run(work).returncode == status


def test_all_that_is_printed_is_passed_on() -> None:
    """However much it is, to either stream."""
    done = run("print('x' * 1_000_000); print('y' * 100_000, file=sys.stderr)")

    assert (len(done.stdout), len(done.stderr)) == (1_000_001, 100_001)


@pytest.mark.parametrize(
    "work",
    [
        "with touching(Path('/a/disk')): time.sleep(3600)",
        "with touching(Path('/a/disk')):\n with touching(Path('/other')): pass\n time.sleep(3600)",
        (
            "parent = os.getpid()\nif not os.fork():\n with touching(Path('/a/disk')):\n"
            "  while os.getppid() == parent: time.sleep(0.1)\nos.wait()"
        ),
    ],
    ids=["at once", "after another path", "in a process of its own"],
)
def test_a_path_that_does_not_respond_is_named(work: str) -> None:
    """The command has an exit status of its own for that."""
    done = run(work, limit_s=0.5)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "/a/disk: no response for 0.5 s; check whether its disk or network mount hangs\n"


def test_what_takes_long_is_no_hang() -> None:
    """Neither a read that makes progress, nor work that touches no path."""
    work = (
        "with touching(Path('/a')):\n"
        " for _ in range(30): time.sleep(0.1); note_progress()\n"
        " for _ in range(30):\n"
        "  with touching(Path('/b')): time.sleep(0.1)\n"
        "time.sleep(3)\n"
    )

    assert run(work, limit_s=2).returncode == 0


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    """Run work that waits."""
    work = "print('works', flush=True)\ntime.sleep(3600)"
    command = [sys.executable, "-c", PROLOGUE.format(limit_s=PATIENCE_S) + work]
    with subprocess.Popen(
        command, env=plain_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "works\n"
        yield process
        process.kill()


def test_who_ends_it_ends_the_work(waiting: subprocess.Popen[str]) -> None:
    """The child is ended first, so that its output is complete."""
    waiting.terminate()
    assert waiting.stdout is not None

    assert waiting.stdout.read() == ""
    assert waiting.wait(PATIENCE_S) == -signal.SIGTERM
