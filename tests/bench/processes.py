"""The real service as a process, and what a process costs: CPU, wakeups, memory of its own, out of /proc."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.bench.datagrams import listening

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.datagrams import Datagram

_POLL_S = 0.005
_KIB = 1024
_UNIT = Path(__file__).parents[2] / "packaging/fleet-health.service"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used up to an instant.

    Attributes:
        at_ns: The instant, of the monotonic clock.
        cpu_ns: Time on a CPU, of all its threads, those that have ended included. While one of them is on a CPU the
            kernel may be a tick of its scheduler (some milliseconds) behind, unless it is the process that asks.
        switches: Context switches of the threads that are there, voluntary or not.

    """

    at_ns: int
    cpu_ns: int
    switches: int

    def cpu_share_since(self, earlier: Usage) -> float:
        """Return the share of one core, in percent."""
        return 100 * (self.cpu_ns - earlier.cpu_ns) / (self.at_ns - earlier.at_ns)

    def wakeups_since(self, earlier: Usage) -> float:
        """Return the context switches a second."""
        return (self.switches - earlier.switches) * 1e9 / (self.at_ns - earlier.at_ns)


def usage(pid: int) -> Usage:
    """Return what a process has used so far."""
    # The clock that clock_getcpuclockid(3) names: to the nanosecond; /proc/PID/stat counts hundredths of seconds.
    cpu_ns = time.clock_gettime_ns((~pid << 3) | 2)
    switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = _fields(task / "status")
        switches += int(status["voluntary_ctxt_switches"]) + int(status["nonvoluntary_ctxt_switches"])
    return Usage(time.monotonic_ns(), cpu_ns, switches)


def anonymous_bytes(pid: int) -> int:
    """Return how much memory of its own a process has: neither files nor shared memory."""
    return int(_fields(Path(f"/proc/{pid}/status"))["RssAnon"].split()[0]) * _KIB


def configure(directory: Path, *, index: Path, journal: Path, text: str = "") -> Path:
    """Write a configuration of defaults for such inputs; return its path. The alert log is beside it."""
    path = directory / "config.toml"
    path.write_text(
        f"index.path = {json.dumps(str(index))}\n"
        f"journal.directory = {json.dumps(str(journal))}\n"
        f"alerts.path = {json.dumps(str(directory / 'alerts.jsonl'))}\n"
        f"control.path = {json.dumps(str(directory / 'control.sock'))}\n"
        f"state.directory = {json.dumps(str(directory / 'state'))}\n{text}"
    )
    return path


@dataclass(frozen=True, slots=True)
class Started:
    """A service that is ready.

    Attributes:
        pid: Its process.
        seconds: How long it took from the start of the process to READY=1.
        messages: What it has told systemd so far.

    """

    pid: int
    seconds: float
    messages: list[Datagram]

    def hosts_watched(self) -> int:
        """Return how many hosts it watches by its own word."""
        statuses = [line.decode() for message in self.messages for line in message.lines if b"STATUS=" in line]
        figure = re.search(r"Watching (\d+) host", statuses[-1])
        assert figure is not None, statuses[-1]
        return int(figure[1])


@contextmanager
def service(config: Path, launcher: Sequence[str] = ()) -> Iterator[Started]:
    """Run `fleet-health run`, perhaps by a launcher; it is ready when the context begins, and ends with it."""
    with TemporaryDirectory(prefix="fleet-health-bench-") as directory:
        manager, log = Path(directory, "notify"), Path(directory, "stderr")
        with listening(manager) as messages, log.open("wb") as stderr:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHDOG_")}
            environment |= dict(re.findall(r"(?m)^Environment=(\w+)=(.*)$", _UNIT.read_text()))
            started_at_us = time.time_ns() // 1000
            process = subprocess.Popen(
                [*launcher, sys.executable, "-m", "fleet_health", "run", "--config", str(config)],
                env=environment | {"NOTIFY_SOCKET": str(manager)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
            try:
                while not (ready := [message for message in messages if b"READY=1" in message.lines]):
                    assert process.poll() is None, log.read_text()
                    time.sleep(_POLL_S)
                yield Started(process.pid, (ready[0].at_us - started_at_us) / 1e6, messages)
                assert process.poll() is None, log.read_text()
            finally:
                process.kill()
                process.wait()


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text("ascii", errors="replace").splitlines())
    return {name: value.strip() for name, _, value in lines}
