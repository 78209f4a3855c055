"""What is said of a process is what the process itself can say."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.processes import Usage, anonymous_bytes, usage

if TYPE_CHECKING:
    from tests.conftest import Eventually

MIB = 1 << 20


def test_the_cpu_time_of_a_process_is_to_the_nanosecond() -> None:
    """It is the clock by which the process measures itself."""
    before = time.process_time_ns()
    used = usage(os.getpid()).cpu_ns
    after = time.process_time_ns()

    assert before <= used <= after


def test_each_wait_of_a_process_is_a_wakeup() -> None:
    """Ten sleeps are ten context switches at least."""
    before = usage(os.getpid())
    for _ in range(10):
        time.sleep(0.001)
    after = usage(os.getpid())

    assert after.switches >= before.switches + 10


def test_the_cpu_time_of_another_process_can_be_had(eventually: Eventually) -> None:
    """As soon as that process waits it is no less than what it had used by its own word."""
    says_and_waits = "import sys, time; print(time.process_time_ns(), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", says_and_waits]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        by_itself = int(process.stdout.readline())

        eventually(lambda: usage(process.pid).cpu_ns >= by_itself > 0, "its CPU time")


def test_anonymous_memory_is_what_was_written_to() -> None:
    """SavedState that is taken and filled counts."""
    before = anonymous_bytes(os.getpid())
    with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"x" * (64 * MIB))
        held = anonymous_bytes(os.getpid())

    # The kernel adds up each processor's pages now and then only.
    assert held - before >= 63 * MIB


def test_shares_and_rates_are_of_the_time_between() -> None:
    """Half a second on a CPU within two seconds is a quarter of a core."""
    earlier = Usage(at_ns=10_000_000_000, cpu_ns=1_000_000_000, switches=100)
    later = Usage(at_ns=12_000_000_000, cpu_ns=1_500_000_000, switches=106)

    assert later.cpu_share_since(earlier) == 25.0
    assert later.wakeups_since(earlier) == 3.0
