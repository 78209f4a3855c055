"""A network and a disk of one's own, in namespaces: the network can be cut, and the disk filled, for real.

A process that waits keeps them. What is started in them sees the loopback interface of that network alone, and a small
tmpfs in the place of a directory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOLD = """
import subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + sys.argv[2], "tmpfs", sys.argv[1]], check=True)
print("ready", flush=True)
sys.stdin.read()
"""


@cache
def can_cut() -> bool:
    """Return whether this machine allows namespaces to whoever runs the tests, and has what sets them up."""
    if any(shutil.which(tool) is None for tool in ("unshare", "nsenter", "ip", "mount")):
        return False
    tried = ["unshare", "--user", "--map-root-user", "--net", "--mount", "ip", "link", "set", "lo", "up"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


class Enclosure:
    """A network that can be cut, and a small disk at a directory."""

    def __init__(self, directory: Path, size: str = "2m") -> None:
        """Take where the disk is, and how large."""
        self.directory = directory
        self._size = size

    def __enter__(self) -> Self:
        """Make both."""
        self.directory.mkdir(parents=True, exist_ok=True)
        unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--kill-child"]
        command = [*unshare, sys.executable, "-I", "-c", _HOLD, str(self.directory), self._size]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of both; what runs in them must have ended."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one in them, in the place of itself."""
        enter = ["nsenter", f"--target={self._holder.pid}", "--user", "--net", "--mount", "--preserve-credentials"]
        return [*enter, "--", *command]

    @property
    def disk(self) -> Path:
        """The disk as it is seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root{self.directory}")

    def cut(self) -> None:
        """Cut the network."""
        self._link("down")

    def mend(self) -> None:
        """Mend it."""
        self._link("up")

    def fill(self) -> None:
        """Fill the disk to its last byte."""
        with suppress(OSError), (self.disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Make room again."""
        (self.disk / "ballast").unlink(missing_ok=True)

    def _link(self, state: str) -> None:
        subprocess.run(self.inside(["ip", "link", "set", "lo", state]), check=True)
