"""What the lock file says, the wheels of it that pip fetches and checks, and our own."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from architectures import PYTHONS

if TYPE_CHECKING:
    from pathlib import Path

    from architectures import Architecture

# Security updates of libsystemd and of the time zones are to come from Debian.
_FROM_DEBIAN = {"systemd-python": "python3-systemd (>= 235)", "tzdata": "tzdata"}
_NEWEST_GLIBC = 36
"""The C library of Debian 12 is 2.36: wheels that need a newer one are not taken."""


@dataclass(frozen=True)
class Lock:
    """A lock file, in two parts.

    Attributes:
        vendored: The lines of what a package brings with it.
        from_debian: What Debian has instead of the rest, as a package depends on it.

    """

    vendored: str
    from_debian: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Lock:
        """Read a file that packaging/lock has written.

        Raises:
            SystemExit: What is installed depends on the machine, so that one package would not do for all.

        """
        vendored, from_debian = [], []
        for block in re.split(r"(?m)^(?=[^\s#])", path.read_text("utf-8"))[1:]:
            name, _, rest = block.partition("==")
            if ";" in rest.partition("\n")[0]:
                sys.exit(f"{path}: {name} is not for every machine, and the package is: {block.splitlines()[0]}")
            if name in _FROM_DEBIAN:
                from_debian.append(_FROM_DEBIAN[name])
            else:
                vendored.append(block)
        return cls("".join(vendored), tuple(sorted(from_debian)))


def fetch(lock: Path, architecture: Architecture, directory: Path) -> list[Path]:
    """Download the wheels of a lock file for an architecture and for each Python; return them in order.

    Raises:
        CalledProcessError: pip has said why not.

    """
    tags = [f"manylinux_2_{minor}_{architecture.machine}" for minor in range(5, _NEWEST_GLIBC + 1)]
    platforms = [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{architecture.machine}")]
    for python in PYTHONS:
        target = ("--implementation=cp", f"--python-version={python}", *platforms)
        _pip("download", "--only-binary=:all:", "--no-deps", *target, "--require-hashes", f"-r{lock}", f"-d{directory}")
    return sorted(directory.glob("*.whl"))


def build(source: Path, directory: Path) -> list[Path]:
    """Build our own wheel from a copy of the checkout."""
    _pip("wheel", "--no-build-isolation", "--use-pep517", "--no-deps", "--no-index", f"-w{directory}", str(source))
    return list(directory.glob("*.whl"))


def _pip(*arguments: str) -> None:
    # It warns of what it has to say to people, and that is not about us.
    quiet = ("--quiet", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir")
    subprocess.run([sys.executable, "-I", "-m", "pip", *quiet, *arguments], check=True, stdin=subprocess.DEVNULL)
