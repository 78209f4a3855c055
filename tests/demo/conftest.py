"""What the demo's tests share."""

from __future__ import annotations

import http.client
import os
import resource
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.hosts import COMMIT
from fleet_health.demo.receiver import STAMP_HEADER
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the receiver."""

    status: int
    text: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class RunningReceiver:
    """A receiver under a real uvicorn."""

    port: int
    process: subprocess.Popen[bytes]

    def request(self, path: str, *, method: str = "PUT", body: bytes = b"x" * 1000, stamp: str = COMMIT) -> Answer:
        """Send a request over HTTP, with a stamp unless that is empty."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {STAMP_HEADER: stamp} if stamp else {})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), {k.lower(): v for k, v in response.getheaders()})
        finally:
            connection.close()

    def stop(self) -> list[str]:
        """End it, and return every line that it wrote."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        return output.decode().splitlines()


@pytest.fixture
def start_receiver() -> Iterator[Callable[..., RunningReceiver]]:
    """Start receivers, and end them after the test."""
    started: list[RunningReceiver] = []

    def start(index: Path, *, largest_file: int = resource.RLIM_INFINITY, **environment: str) -> RunningReceiver:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--fd", str(listener.fileno()), "fleet_health.demo.receiver:app"],
                env=os.environ | {"RECEIVER_INDEX": str(index)} | environment,
                pass_fds=[listener.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file)),  # noqa: PLW1509
            )
            started.append(RunningReceiver(listener.getsockname()[1], process))
        return started[-1]

    yield start
    for receiver in started:
        receiver.process.kill()
        receiver.process.communicate()
