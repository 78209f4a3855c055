"""The service as a process, with a service manager that listens to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.rig.patience import PATIENCE_S, POLL_S, Patience
from tests.rig.zygote import ForkedProcess, needs_an_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig.site import Site

T = TypeVar("T")


def plain_environment() -> dict[str, str]:
    """Return the environment without what a service manager tells its services in it."""
    ours = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"}
    return {name: value for name, value in os.environ.items() if name not in ours}


class NotifySocket:
    """The service manager's end of sd_notify: records every message, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))
        # A service that nobody listens to would stand still when the socket is full.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        while message := self._socket.recv(1 << 20):
            lines = message.decode().splitlines()
            self.messages.append({name: value for name, _, value in (line.partition("=") for line in lines)})

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RD)
        self._listener.join()
        self._socket.close()
        self.path.unlink()

    def having(self, name: str) -> list[dict[str, str]]:
        """Return the messages that assign a name."""
        return [message for message in self.messages if name in message]

    @property
    def status(self) -> str:
        """The latest STATUS."""
        statuses = self.having("STATUS")
        return statuses[-1]["STATUS"] if statuses else ""


class Service:
    """`fleet-health run` as a process, with a service manager that listens."""

    def __init__(
        self, site: Site, environment: dict[str, str], *program: str, command: str = "run", prelude: str = ""
    ) -> None:
        """Start it.

        Args:
            site: What it watches.
            environment: Variables beside the usual ones.
            program: The arguments of an interpreter that runs something else than `fleet_health` itself.
            command: Which command it is: `run`, or another one that serves.
            prelude: Python code that is executed first, unless there is a program.

        """
        self.site = site
        self._directory = Path(tempfile.mkdtemp(prefix="fleet-health-test-"))
        self.notify = NotifySocket(self._directory / "notify")
        self._stderr = self._directory / "stderr"
        self._log: list[dict[str, Any]] = []
        self._log_size = 0  # in bytes, as far as it is in the list
        arguments = [command, "--config", str(site.config), "--log-level", "debug"]
        complete = plain_environment() | {"NOTIFY_SOCKET": str(self.notify.path)} | environment
        self.process: subprocess.Popen[bytes] | ForkedProcess
        with self._stderr.open("wb") as stderr, Path(os.devnull).open("r+b") as null:
            if program or needs_an_interpreter(environment):
                self.process = subprocess.Popen(
                    [sys.executable, *(program or ("-m", "fleet_health")), *arguments],
                    env=complete,
                    stdin=null,
                    stdout=null,
                    stderr=stderr,
                )
            else:
                self.process = ForkedProcess(
                    arguments,
                    env=complete,
                    stdin=null.fileno(),
                    stdout=null.fileno(),
                    stderr=stderr.fileno(),
                    prelude=prelude,
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it in any case; its log is gone with it."""
        self.process.kill()
        self.process.wait()
        self.notify.close()
        shutil.rmtree(self._directory)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def stderr(self) -> str:
        """What it has written on stderr so far."""
        return self._stderr.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log so far; a line that is being written is left out."""
        with self._stderr.open("rb") as file:
            file.seek(self._log_size)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._log_size += len(whole + newline)
        # Whoever waits for an event asks a hundred times a second: what was read once is not read again.
        self._log += [json.loads(line) for line in whole.split(b"\n") if line.endswith(b"}")]
        return self._log

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of one event."""
        return [line for line in self.log if line["event"] == event]

    def evaluations(self) -> int:
        """Count the ticks so far."""
        return len(self.events("evaluated"))

    def until(self, probe: Callable[[], T], what: str) -> T:
        """Wait for something while the service runs; show its log if it does not come."""
        patience = Patience()
        while not (found := probe()):
            if not self.is_running or not patience.is_left:
                found = probe()
                assert found, f"{what}: it did not come; exit status {self.process.poll()}\n{self.stderr}"
                break
            time.sleep(POLL_S)
        return found

    def do_until(self, act: Callable[[], object], probe: Callable[[], T], what: str) -> T:
        """Do something again after each evaluation until something comes.

        On a busy machine, what was done once may be forgotten before a tick.
        """
        done_at = -1

        def act_and_look() -> T:
            nonlocal done_at
            if (evaluations := self.evaluations()) > done_at:
                act()
                done_at = evaluations
            return probe()

        return self.until(act_and_look, what)

    def until_ready(self, times: int = 1) -> Self:
        """Wait until READY=1 has come so many times."""
        self.until(lambda: len(self.notify.having("READY")) >= times, "READY=1")
        return self

    def until_evaluated_anew(self) -> None:
        """Wait for an evaluation that begins after this call."""
        before = self.evaluations()
        # The first that is logged from now on may have begun before.
        self.until(lambda: self.evaluations() >= before + 2, "a tick")

    def reload(self) -> None:
        """Reload; return when systemd would."""
        before = len(self.notify.having("READY"))
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: len(self.notify.having("READY")) > before, "READY=1 after RELOADING=1")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)
