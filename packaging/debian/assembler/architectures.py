"""The architectures that there are packages for, and what others call them."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

PYTHONS = ("3.11", "3.12", "3.13")
"""The versions of Python that a package runs on: those of Debian 12 and 13, and what is between."""


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
        name: Debian's name of it.
        machine: The kernel's, which wheels bear as well.

    """

    name: str
    machine: str

    @property
    def triplet(self) -> str:
        """What extension modules and the tools of binutils are called by."""
        return f"{self.machine}-linux-gnu"


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (Architecture("amd64", "x86_64"), Architecture("arm64", "aarch64"))
}


def of_this_machine() -> Architecture:
    """Return the architecture that can be run here.

    Raises:
        SystemExit: There is none, or this Python is none of those that a package runs on.

    """
    if f"{sys.version_info[0]}.{sys.version_info[1]}" not in PYTHONS:
        sys.exit(f"this is Python {platform.python_version()}; name one of {', '.join(PYTHONS)} in PYTHON")
    for architecture in ARCHITECTURES.values():
        if architecture.machine == platform.machine():
            return architecture
    sys.exit(f"this machine is {platform.machine()}; packages are built on {' or '.join(ARCHITECTURES)}")
