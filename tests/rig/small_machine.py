"""Control groups that give a process as little as a small machine has: a share of one processor, and little memory."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.patience import POLL_S, Patience

if TYPE_CHECKING:
    from collections.abc import Iterator

_PERIOD_US = 100_000


class NoControlGroup(Exception):  # noqa: N818 - a circumstance, not an error
    """This host lets us make no control group with these limits; the message says why."""


@dataclass(frozen=True, slots=True)
class SmallMachine:
    """Limits for whatever is started by its launcher.

    Attributes:
        groups: The directories of its control groups: one, or with cgroup v1 one for each controller.

    """

    groups: tuple[Path, ...]

    @property
    def launcher(self) -> tuple[str, ...]:
        """What to put before a command, so that it runs within the limits from its begin."""
        join = "".join(f"echo $$ >{group}/cgroup.procs && " for group in self.groups)
        return ("sh", "-c", f'{join}exec "$@"', "sh")

    @property
    def throttled(self) -> int:
        """In how many periods it was stopped because its share was used up."""
        stats = (
            line.split() for group in self.groups if (stat := group / "cpu.stat").exists() for line in _lines(stat)
        )
        return sum(int(value) for name, value in stats if name == "nr_throttled")


@contextmanager
def small_machine(*, cpu: float, memory: int) -> Iterator[SmallMachine]:
    """Make one for as long as a context lasts; nothing may run in it at the end.

    Args:
        cpu: The share of one processor.
        memory: In bytes.

    Raises:
        NoControlGroup: It cannot be made here.

    """
    quota = int(cpu * _PERIOD_US)
    v1 = {
        "cpu": {"cpu.cfs_period_us": f"{_PERIOD_US}", "cpu.cfs_quota_us": f"{quota}"},
        "memory": {"memory.limit_in_bytes": f"{memory}"},
    }
    v2 = {"cpu.max": f"{quota} {_PERIOD_US}", "memory.max": f"{memory}"}
    name = f"fleet-health-small-machine-{os.getpid()}-{time.monotonic_ns()}"
    with ExitStack() as stack:
        try:
            if (unified := _unified()) is not None:
                groups = [stack.enter_context(_group(unified / name, v2))]
            else:
                groups = [stack.enter_context(_group(_mounted(one) / name, limits)) for one, limits in v1.items()]
        except OSError as error:
            raise NoControlGroup(str(error)) from error
        yield SmallMachine(tuple(groups))


@contextmanager
def _group(path: Path, limits: dict[str, str]) -> Iterator[Path]:
    path.mkdir()
    try:
        for name, limit in limits.items():
            (path / name).write_text(limit)
        yield path
    finally:
        patience = Patience()
        while _lines(path / "cgroup.procs") and patience.is_left:  # a process leaves it a moment after its end
            time.sleep(POLL_S)
        path.rmdir()


def _unified() -> Path | None:
    """Return where the controllers are in the hierarchy of cgroup v2; None if they are not all there."""
    for kind, target, _ in _mounts():
        if kind == "cgroup2" and {"cpu", "memory"} <= set((target / "cgroup.subtree_control").read_text().split()):
            return target
    return None


def _mounted(controller: str) -> Path:
    for kind, target, options in _mounts():
        if kind == "cgroup" and controller in options:
            return target
    raise NoControlGroup(f"no control groups for {controller}")


def _mounts() -> Iterator[tuple[str, Path, set[str]]]:
    for line in _lines(Path("/proc/mounts")):
        _, target, kind, options, *_ = line.split()
        yield kind, Path(target), set(options.split(","))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
