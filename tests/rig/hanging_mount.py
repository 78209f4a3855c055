"""A mount that can hang: a directory as a network file system shows it while its server is gone.

It is two mounts, one over the other, each by bindfs(1). The server of the lower one is stopped; that of the upper one
has then taken what it was asked, and waits itself. Who asked can no longer be killed, as with a disk that is gone:
the kernel gives up a request for SIGKILL only if the server has not taken it yet (fuse_dev_do_read).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Self

from tests.rig.patience import PATIENCE_S, POLL_S, Patience

if TYPE_CHECKING:
    from pathlib import Path

# Whatever is asked must come from the server, not from what the kernel remembers.
_OPTIONS = "attr_timeout=0,entry_timeout=0,negative_timeout=0"


class MountUnavailable(Exception):  # noqa: N818 - it names a state of the machine, not a mistake
    """This machine cannot mount it; `str()` says why."""


class HangingMount:
    """A directory that can hang."""

    def __init__(self, directory: Path) -> None:
        """Make it in a directory.

        Raises:
            MountUnavailable: It cannot be mounted.

        """
        self.behind = directory / "disk"  # where what it shows really is
        self.behind.mkdir()
        self._lower = _Mount(self.behind, directory / "lower")
        try:
            self._upper = _Mount(self._lower.path, directory / "mount")
        except BaseException:
            self._lower.close()
            raise
        self.path = self._upper.path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Hang no longer: what waits for it can be killed then."""
        self.go_on()

    def hang(self) -> None:
        """Let nothing that touches it return."""
        server = self._lower.server
        server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, server.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """Answer again, first what was asked meanwhile."""
        self._lower.server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Unmount it, whoever uses it."""
        self._upper.close()
        self._lower.close()


class _Mount:
    """A directory seen through a server."""

    def __init__(self, source: Path, path: Path) -> None:
        self.path = path
        path.mkdir()
        try:
            self.server = subprocess.Popen(
                ["bindfs", "-f", "-o", _OPTIONS, source, path], stderr=subprocess.PIPE, text=True
            )
        except FileNotFoundError:
            raise MountUnavailable("bindfs is not installed") from None
        patience = Patience()
        while not path.is_mount():
            if self.server.poll() is not None or not patience.is_left:
                self.server.kill()
                raise MountUnavailable(f"bindfs: {self.server.communicate()[1].strip()}")
            time.sleep(POLL_S)

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=True)
        self.server.terminate()
        self.server.communicate(timeout=PATIENCE_S)
