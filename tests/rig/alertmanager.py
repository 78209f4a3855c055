"""A real Alertmanager, Debian's, alone or as a member of a cluster on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import urllib3

from tests.rig.patience import PATIENCE_S, POLL_S
from tests.rig.ports import reserved_port

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "prometheus-alertmanager"

_CONFIGURATION = """
route: {receiver: nobody, group_wait: 0s}
receivers: [{name: nobody}]
"""


def is_available() -> bool:
    """Return whether it is installed, with its command line tool."""
    return all(map(shutil.which, (PROGRAM, "amtool")))


class AlertmanagerServer:
    """A member that runs."""

    def __init__(self, directory: Path, *, beside: AlertmanagerServer | None = None) -> None:
        directory.mkdir()
        (directory / "alertmanager.yml").write_text(_CONFIGURATION)
        self._stack = ExitStack()
        self.port = self._stack.enter_context(reserved_port())
        command = [
            PROGRAM,
            f"--config.file={directory / 'alertmanager.yml'}",
            f"--storage.path={directory}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=127.0.0.1:0",
            "--cluster.settle-timeout=1s",
        ]
        if beside is not None:
            (member,) = beside.members()
            command.append(f"--cluster.peer={member}")
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        """Wait until it answers."""
        ends = time.monotonic() + PATIENCE_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > ends:
                self.__exit__()
                raise RuntimeError(self._log.read_text())
            time.sleep(POLL_S)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.kill()
        self._stack.close()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kill it, and wait until it has ended."""
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def firing(self) -> list[dict[str, Any]]:
        """Return the alerts that amtool shows."""
        command = ["amtool", f"--alertmanager.url={self.url}", "--output=json", "alert", "query"]
        shown = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S).stdout
        alerts: list[dict[str, Any]] = json.loads(shown)
        return alerts

    def members(self) -> list[str]:
        """Return the addresses of the members of its cluster."""
        peers = urllib3.request("GET", f"{self.url}/api/v2/status").json()["cluster"]["peers"]
        return [peer["address"] for peer in peers]

    def _is_ready(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/-/ready", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False
