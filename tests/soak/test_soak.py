"""A soak of some hours passes, and with a leak it fails; that of two weeks is left to `soak.py` itself."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.journal import find_writer
from tests.rig.virtual_time import VirtualLoop, VirtualTime
from tests.soak.leaks import LEAKS

if TYPE_CHECKING:
    from tests.conftest import DoWithout

SOAK = Path(__file__).with_name("soak.py")


@pytest.fixture(autouse=True)
def _writer(do_without: DoWithout) -> None:
    if find_writer() is None:
        do_without("systemd-journal-remote is not installed")


def soak(*arguments: str, hours: int) -> subprocess.CompletedProcess[str]:
    """Soak in a process of its own, for the process is what is measured."""
    command: list[str | Path] = [sys.executable, SOAK, "--days", str(hours / 24), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_after_some_hours_the_service_takes_up_what_it_did_after_the_first() -> None:
    """Nothing has grown; and meanwhile it ticked, alerted, and went on through every rotation and reload."""
    soaked = soak(hours=4)

    assert (soaked.returncode, soaked.stderr) == (0, ""), soaked.stdout
    done = dict(re.findall(r"(\w[\w ]+): (\d+)", soaked.stdout.splitlines()[-1]))
    assert done == {
        "hours": "4",
        "ticks": "48",
        "alerts": "160",
        "rotations of the index": "4",
        "rotations of the journal": "4",
        "rotations of the alert log": "4",
        "reloads": "3",
        "reloads refused": "1",
    }


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_found(leak: str) -> None:
    """If the service keeps what it should let go of, the soak fails, and says what has grown."""
    soaked = soak("--leak", leak, hours=2)

    assert soaked.returncode == 1, soaked.stdout
    assert re.search(rf"hour 2: {leak}\w*: \d+, not \d+ as after the first hour", soaked.stdout)


def test_a_loop_that_only_waits_is_there_at_once() -> None:
    """Timers come in their order, each at its instant, and both clocks have gone as far."""
    virtual = VirtualTime(wall_us=1_000_000)
    order: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((name, virtual.monotonic()))

    async def sleep_twice() -> None:
        await asyncio.gather(sleep("a fortnight", 14 * 86_400), sleep("an hour", 3_600))

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(virtual)) as runner:
        runner.run(sleep_twice())

    assert order == [("an hour", 3_600.0), ("a fortnight", 14 * 86_400.0)]
    assert virtual.time_ns() == virtual.monotonic_ns() + 1_000_000_000


def test_while_a_thread_works_no_time_passes() -> None:
    """However long it takes, a limit on it is not reached."""
    virtual = VirtualTime(wall_us=0)

    async def work() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.to_thread(time.sleep, 0.05)

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(virtual)) as runner:
        runner.run(work())

    assert virtual.monotonic() == 0
