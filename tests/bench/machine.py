"""What machine the figures are of."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("aiofiles", "asyncinotify", "msgspec", "structlog", "systemd-python")
_PEERS = {"fail2ban": ("fail2ban-regex", "--version"), "mtail": ("mtail", "--version")}
_GIB = 1 << 30


def describe(data: Path) -> dict[str, str]:
    """Describe the machine, what runs on it, and the disk on which the data is."""
    libraries = [f"{name} {version(name)}" for name in _LIBRARIES if _is_installed(name)]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    return {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Processor": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Disk": _said("findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", "--target", str(data)),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "systemd": _said("journalctl", "--version"),
        "Libraries": ", ".join(libraries),
        "Neighbours": "; ".join(f"{name}: {_said(*command)}" for name, command in _PEERS.items()),
        "Load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, text = line.partition(":")
        if name.strip() in ("model name", "Model"):  # the latter on a Raspberry Pi
            return text.strip()
    return platform.machine()


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _said(*command: str) -> str:
    """Return the first line that a command says."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    lines = (run.stdout or run.stderr).splitlines()
    return " ".join(lines[0].split()) if lines else "unknown"
