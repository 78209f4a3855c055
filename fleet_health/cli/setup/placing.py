"""The files that an installation adds to the program, as listed in packaging/files.

In a checkout, `fleet_health/system` is a link to packaging/. A wheel contains the listed files. The Debian package does
not, because dpkg installs them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = Path(__file__).parents[2] / "system"
"""The directory with the files and their list."""

_WRITTEN_FOR = "/opt/fleet-health/current/bin/fleet-health"
"""The path of the program in the files, where packaging/install.sh installs it."""


def listed(system: Path = SYSTEM) -> Iterator[tuple[str, Path]]:
    """Yield each file and its destination. Files that begin with `made/` must be made first.

    Raises:
        OSError: There is no list.

    """
    for line in (system / "files").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        what, where = line.split()
        names = sorted(str(path.relative_to(system)) for path in system.glob(what)) if "*" in what else [what]
        for name in names:
            target = where + name.rpartition("/")[2] if where.endswith("/") else where
            yield name, Path("/usr/local", target)


def text_for(program: Path, name: str, system: Path = SYSTEM) -> str:
    """Return the text of a file for a program at another path."""
    return (system / name).read_text("utf-8").replace(_WRITTEN_FOR, str(program))
