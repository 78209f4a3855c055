"""Run the parts of the demo: receiver, journal, simulated hosts and service, with all files in one directory.

Owns the order in which the parts start and end. Knows neither the screen nor when the demo is complete.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from fleet_health.demo.children import STOP_WITHIN_S, child, stop
from fleet_health.demo.hosts import HOSTS, REFUSED_HOST, Tally, simulate
from fleet_health.demo.journal import JournalFile
from fleet_health.demo.notify_socket import NotifySocket
from fleet_health.errors import FleetHealthError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Coroutine, Mapping
    from pathlib import Path

TICK_S = 5

# Seconds and minutes instead of hours, so that the symptoms appear during the demo.
_CONFIG = """\
tick = "{tick}s"

[index]
path = {index}

[journal]
directory = {journal}

[alerts]
path = {alerts}

[state]
directory = {state}

[control]
path = {control}

[detectors.silent]
after = "15s"

[detectors.fatal-only]
window = "2m"

[detectors.unstamped]
window = "2m"
"""


class StageError(FleetHealthError):
    """A part of the demo ended early or failed; `str()` says which."""


@dataclass(frozen=True, slots=True)
class Files:
    """The paths of the demo.

    Attributes:
        directory: The directory with all files.

    """

    directory: Path

    @property
    def index(self) -> Path:
        """The index of the receiver."""
        return self.directory / "index.jsonl"

    @property
    def journal(self) -> Path:
        """The directory of the journal with the receiver's lines."""
        return self.directory / "journal"

    @property
    def alerts(self) -> Path:
        """The alert log of the service."""
        return self.directory / "alerts.jsonl"

    @property
    def state(self) -> Path:
        """The state directory of the service."""
        return self.directory / "state"

    @property
    def control(self) -> Path:
        """The control socket of the service."""
        return self.directory / "control.sock"

    @property
    def config(self) -> Path:
        """The configuration of the service."""
        return self.directory / "config.toml"

    @property
    def service_log(self) -> Path:
        """The stderr of the service."""
        return self.directory / "fleet-health.log"


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts of the demo.

    Attributes:
        files: The paths.
        port: The port of the receiver on this machine.
        tallies: The counts of responses, by host.
        notify: The messages of the service to its service manager.
        started_at: The time of the start, by `time.monotonic()`.
        processes: The processes that must not end before the demo, by name.
        tasks: The tasks in this process: the hosts, and the one that writes the journal.

    """

    files: Files
    port: int
    tallies: Mapping[str, Tally]
    notify: NotifySocket
    started_at: float
    processes: Mapping[str, Process]
    tasks: tuple[asyncio.Task[None], ...]

    @property
    def elapsed_s(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self.started_at

    def check(self) -> None:
        """Check that every part still runs.

        Raises:
            StageError: A process has ended.

        """
        for name, process in self.processes.items():
            if process.returncode is not None:
                raise StageError(f"the {name} ended with status {process.returncode}")
        for task in self.tasks:
            if task.done():
                task.result()


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Stage]:
    """Run the parts in an empty `directory` while the context lasts, and end them in order.

    Raises:
        JournalFileError: The journal cannot be written.
        OSError: A program cannot be started, or a file cannot be written.

    """
    files = Files(directory)
    files.journal.mkdir()
    files.config.write_text(_configuration(files))
    tallies = {host.name: Tally() for host in HOSTS}
    async with AsyncExitStack() as parts:
        notify = parts.enter_context(NotifySocket())
        journal = parts.enter_context(JournalFile(files.journal / "receiver.journal"))
        # The receiver inherits the open socket: no other process can take the port, and early uploads wait.
        with socket.create_server(("127.0.0.1", 0), backlog=len(HOSTS)) as listener:
            port: int = listener.getsockname()[1]
            receiver = await parts.enter_async_context(_receiver(listener, files))
        recording = await parts.enter_async_context(_recording(receiver, journal))
        hosts = [
            await parts.enter_async_context(_in_background(simulate(host, port, tallies[host.name]))) for host in HOSTS
        ]
        service = await parts.enter_async_context(_service(notify, files))
        yield Stage(
            files=files,
            port=port,
            tallies=tallies,
            notify=notify,
            started_at=time.monotonic(),
            processes={"receiver": receiver, "service": service},
            tasks=(recording, *hosts),
        )


async def show_status(stage: Stage, stdout: IO[str]) -> None:
    """Run `fleet-health status` with this stdout, so that it uses the colours and width of a terminal.

    Raises:
        StageError: The service does not respond.

    """
    argv = [sys.executable, "-m", "fleet_health", "status", "--config", str(stage.files.config)]
    async with child(argv, env=os.environ, stdout=stdout, stderr=asyncio.subprocess.PIPE) as process:
        _, stderr = await process.communicate()
    if stderr:
        raise StageError(f"`fleet-health status` failed: {stderr.decode(errors='replace').strip()}")


def _configuration(files: Files) -> str:
    # JSON strings are valid TOML.
    names = ("index", "journal", "alerts", "state", "control")
    paths = {name: json.dumps(str(getattr(files, name))) for name in names}
    return _CONFIG.format(tick=TICK_S, **paths)


@asynccontextmanager
async def _receiver(listener: socket.socket, files: Files) -> AsyncIterator[Process]:
    argv = [sys.executable, "-m", "uvicorn", "--fd", str(listener.fileno()), "fleet_health.demo.receiver:app"]
    async with child(
        argv,
        env=os.environ | {"RECEIVER_INDEX": str(files.index), "RECEIVER_REFUSE": REFUSED_HOST},
        pass_fds=[listener.fileno()],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    ) as process:
        yield process


@asynccontextmanager
async def _service(notify: NotifySocket, files: Files) -> AsyncIterator[Process]:
    argv = [sys.executable, "-m", "fleet_health", "run", "--config", str(files.config)]
    with files.service_log.open("wb") as log:
        async with child(
            argv, env=os.environ | {"NOTIFY_SOCKET": notify.address}, stdout=log, stderr=asyncio.subprocess.STDOUT
        ) as process:
            yield process


@asynccontextmanager
async def _recording(receiver: Process, journal: JournalFile) -> AsyncIterator[asyncio.Task[None]]:
    async with _in_background(_record(receiver, journal)) as task:
        yield task
        await stop(receiver)
        # So its last lines reach the journal.
        await asyncio.wait({task}, timeout=STOP_WITHIN_S)


async def _record(receiver: Process, journal: JournalFile) -> None:
    assert receiver.stdout is not None  # noqa: S101 - it was opened as a pipe
    async for line in receiver.stdout:
        journal.append(line.rstrip(b"\n"), _PID=receiver.pid)


@asynccontextmanager
async def _in_background(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
