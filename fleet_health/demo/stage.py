"""Everything that runs in the demo: receiver, journal, hosts and daemon, each of them real, in one directory.

Owns what is started, in which order, and how it ends. Does not know how it is shown, nor when it is enough.
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

# Minutes instead of the hours of a deployment, so that the trouble shows while one looks on.
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
    """A part of the demo has ended before its time; `str()` says which."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where everything of the demo is.

    Attributes:
        directory: Holds all of it.

    """

    directory: Path

    @property
    def index(self) -> Path:
        """Where the receiver appends a row for every accepted upload."""
        return self.directory / "index.jsonl"

    @property
    def journal(self) -> Path:
        """The directory of the journal that holds the receiver's lines."""
        return self.directory / "journal"

    @property
    def alerts(self) -> Path:
        """Where the daemon appends its alerts."""
        return self.directory / "alerts.jsonl"

    @property
    def state(self) -> Path:
        """Where the daemon keeps what it must know after a restart."""
        return self.directory / "state"

    @property
    def control(self) -> Path:
        """The operator's socket."""
        return self.directory / "control.sock"

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.directory / "config.toml"

    @property
    def daemon_log(self) -> Path:
        """The daemon's stderr."""
        return self.directory / "fleet-health.log"


@dataclass(frozen=True, slots=True)
class Stage:
    """The demo while it runs.

    Attributes:
        files: Where everything is.
        port: The receiver's, on this machine.
        tallies: What each host was answered, by its name.
        notify: What the daemon reports to its service manager.
        started_at: By `time.monotonic()`.
        processes: The programs that are to run all the time, by their names.
        tasks: The tasks within this process: hosts, recorder.

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
        """Seconds since the start."""
        return time.monotonic() - self.started_at

    def check(self) -> None:
        """See that every part still does its work.

        Raises:
            StageError: One does not.

        """
        for name, process in self.processes.items():
            if process.returncode is not None:
                raise StageError(f"the {name} ended with status {process.returncode}")
        for task in self.tasks:
            if task.done():
                task.result()


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Stage]:
    """Run the demo in an empty `directory`, and end every part of it in good order.

    Raises:
        JournalFileError: The journal cannot be written.
        OSError: A program cannot be started, or a file not be written.

    """
    files = Files(directory)
    files.journal.mkdir()
    files.config.write_text(_configuration(files))
    tallies = {host.name: Tally() for host in HOSTS}
    async with AsyncExitStack() as parts:
        notify = parts.enter_context(NotifySocket())
        journal = parts.enter_context(JournalFile(files.journal / "receiver.journal"))
        # The port is taken here and handed over open: nobody can come in between, and no host comes too early.
        with socket.create_server(("127.0.0.1", 0), backlog=len(HOSTS)) as listener:
            port: int = listener.getsockname()[1]
            receiver = await parts.enter_async_context(_receiver(listener, files))
        recording = await parts.enter_async_context(_recording(receiver, journal))
        hosts = [
            await parts.enter_async_context(_in_background(simulate(host, port, tallies[host.name]))) for host in HOSTS
        ]
        daemon = await parts.enter_async_context(_daemon(notify, files))
        yield Stage(
            files=files,
            port=port,
            tallies=tallies,
            notify=notify,
            started_at=time.monotonic(),
            processes={"receiver": receiver, "daemon": daemon},
            tasks=(recording, *hosts),
        )


async def show_status(stage: Stage, stdout: IO[str]) -> None:
    """Run `fleet-health status` on the daemon, with a stdout of its own: a terminal gets its colours and its width.

    Raises:
        StageError: The daemon does not answer.

    """
    argv = [sys.executable, "-m", "fleet_health", "status", "--config", str(stage.files.config)]
    async with child(argv, env=os.environ, stdout=stdout, stderr=asyncio.subprocess.PIPE) as process:
        _, stderr = await process.communicate()
    if stderr:
        raise StageError(f"`fleet-health status` failed: {stderr.decode(errors='replace').strip()}")


def _configuration(files: Files) -> str:
    # A string of JSON is one of TOML too.
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
async def _daemon(notify: NotifySocket, files: Files) -> AsyncIterator[Process]:
    argv = [sys.executable, "-m", "fleet_health", "run", "--config", str(files.config)]
    with files.daemon_log.open("wb") as log:
        async with child(
            argv, env=os.environ | {"NOTIFY_SOCKET": notify.address}, stdout=log, stderr=asyncio.subprocess.STDOUT
        ) as process:
            yield process


@asynccontextmanager
async def _recording(receiver: Process, journal: JournalFile) -> AsyncIterator[asyncio.Task[None]]:
    async with _in_background(_record(receiver, journal)) as task:
        yield task
        await stop(receiver)
        # Its farewell belongs into the journal too.
        await asyncio.wait({task}, timeout=STOP_WITHIN_S)


async def _record(receiver: Process, journal: JournalFile) -> None:
    assert receiver.stdout is not None  # noqa: S101 - it was asked for as a pipe
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
