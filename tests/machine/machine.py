"""A real systemd as PID 1, with its own journald, in namespaces over a throw-away overlay of this machine's root.

What is installed here is installed there; nothing it writes outlives it. It has no network but its own loopback.
`boot.sh` says how such a machine is made, `supervise.sh` how it is ended; this module starts it and talks to it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.rig.patience import PATIENCE_S, Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

T = TypeVar("T")

_HERE = Path(__file__).resolve().parent
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

# The kernel's interfaces have no loopback up in a new network namespace, and a minimal system has no `ip`.
_LOOPBACK_UP = """
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket() as s:
    fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
"""


class MachineUnavailable(Exception):  # noqa: N818 - a circumstance, not an error
    """This host cannot have a machine; the message says why."""


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Return what `look` returns, as soon as that is true."""
    patience = Patience()
    while not (seen := look()):
        assert patience.is_left, f"it did not come: {what}; last seen: {seen!r}"
        time.sleep(0.1)
    return seen


class Machine:
    """One booted machine; a context manager that ends it.

    Attributes:
        pid: its PID 1, as the host sees it; 0 before it is booted.
        show: directories of the host -> where the machine sees them, read-only.
        root: the root of the Debian that it is a copy of; by default the host's.
        kept: what another machine with this root has kept, for this one to begin with; None for the root alone.
    """

    def __init__(
        self, show: Mapping[Path, str] | None = None, *, root: Path = Path("/"), kept: Path | None = None
    ) -> None:
        self.pid = 0
        self.show = dict(show or {})
        self.root = root
        self.kept = kept
        self._directory = Path(tempfile.mkdtemp(prefix="fleet-health-machine-"))
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def boot(self) -> None:
        """Start it and wait until its boot is over.

        Raises:
            MachineUnavailable: the host refuses what such a machine needs.
        """
        _check_host()
        bindings = [f"{source}:{target}" for source, target in self.show.items()]
        with (self._directory / "console").open("wb") as console:
            self._supervisor = subprocess.Popen(
                ["bash", _HERE / "supervise.sh", self._directory, *bindings],
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=console,
                env={**os.environ, "MACHINE_ROOT": str(self.root), "MACHINE_KEPT": str(self.kept or "")},
            )
        self.pid = int(eventually(self._announced_pid, "the namespaces and mounts of the machine"))
        init = Path(f"/proc/{self.pid}/exe")
        eventually(lambda: init.readlink().name == "systemd", "systemd as its PID 1")
        eventually(self._is_up, "the end of its boot")
        self.run("python3", "-c", _LOOPBACK_UP)

    def keep(self, directory: Path) -> None:
        """Copy what it has written to its disk into a new directory, which other machines can begin with.

        What its services have not written yet is not kept: they are better stopped before.
        """
        directory.mkdir()
        copy = 'for layer in "$1"/disk/layer*; do cp --archive "$layer/upper" "$2/${layer##*/}"; done'
        # Its layers are in its namespace, but outside of its root. Its parent is in that namespace, and has our root,
        # which may be a chroot.
        parent = re.search(r"^PPid:\s*(\d+)$", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert parent is not None
        enter = ("nsenter", "--target", parent[1], "--mount", "--root")
        subprocess.run([*enter, "bash", "-c", copy, "bash", self._directory, directory], check=True)

    def stop(self) -> None:
        """End it with everything in it; again is harmless."""
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
            self._supervisor.wait(PATIENCE_S)
        shutil.rmtree(self._directory, ignore_errors=True)

    def run(
        self, *command: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root and return what it printed; unless told not to `check`, a failure is one."""
        result = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            env={**_ENVIRONMENT, **(environment or {})},
        )
        if check:
            assert result.returncode == 0, f"{command} -> {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def path(self, path: str) -> Path:
        """Return where the host sees the machine's `path`; symbolic links on the way would be the host's."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Put a file in place at once, with its directories, as a configuration management does."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(target.name + ".new")
        new.write_text(text)
        new.chmod(mode)
        new.rename(target)

    def journal(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the entries of its journal that `journalctl` selects."""
        output = self.run("journalctl", "--output=json", "--all", *arguments).stdout
        return [json.loads(line) for line in output.splitlines()]

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit, as `systemctl show` tells them."""
        output = self.run("systemctl", "show", f"--property={','.join(names)}", unit).stdout
        return dict(line.split("=", 1) for line in output.splitlines())

    def _is_up(self) -> bool:
        # Degraded is up as well: what the host has installed may not like to run in a machine.
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}

    def _announced_pid(self) -> str:
        announcement = self._directory / "pid"
        if announcement.exists():
            return announcement.read_text()
        assert self._supervisor is not None
        if self._supervisor.poll() is not None:
            raise MachineUnavailable((self._directory / "console").read_text().strip())
        return ""


def _check_host() -> None:
    """Raise MachineUnavailable for what can be known beforehand."""
    if os.geteuid() != 0:
        raise MachineUnavailable("namespaces, mounts and control groups of a machine need root")
    missing = [tool for tool in ("nsenter", "setsid", "systemctl", "unshare") if shutil.which(tool) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        raise MachineUnavailable(f"no systemd to boot here, or no tool for it: {', '.join(missing) or 'systemd'}")
