"""The units of this machine, as systemd reports them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PATIENCE_S = 10
_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "MainPID",
    "ControlGroup",
    "WorkingDirectory",
    "ReadWritePaths",
    "StateDirectory",
    "LogNamespace",
    "ExecStart",
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, as systemd reports it.

    Attributes:
        name: Its name.
        is_known: Whether systemd has a file for it, or has loaded it without one.
        state: `active`, `failed`, `inactive`, …
        properties: Further properties, under the names of `systemctl show`.

    """

    name: str
    is_known: bool
    state: str
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether it is running or starting."""
        return self.state in {"active", "activating", "reloading"}


def units(names: Iterable[str]) -> list[Unit] | None:
    """Return the units with some names or globs, as systemd reports them; None if it cannot be asked."""
    command = ["systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--no-pager", "--", *names]
    try:
        shown = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=True, timeout=_PATIENCE_S
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = []
    for block in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if name := values.get("Id"):
            found.append(Unit(name, values.get("LoadState") != "not-found", values.get("ActiveState", ""), values))
    return found
