"""The files that an installation adds beside the program, as packaging/files lists them.

In a checkout `fleet_health/system` is a link to packaging/; a wheel has the files that the list names. The Debian
package has none: dpkg has put them in place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = Path(__file__).parents[2] / "system"
"""Where the files are, and the list of them."""

_WRITTEN_FOR = "/opt/fleet-health/current/bin/fleet-health"
"""The program in the files, where packaging/install.sh puts it."""


def listed(system: Path = SYSTEM) -> Iterator[tuple[str, Path]]:
    """Yield what there is, and where it goes; what begins with `made/` has to be made.

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
    """Return a file as it is for a program that is somewhere else than packaging/install.sh puts it."""
    return (system / name).read_text("utf-8").replace(_WRITTEN_FOR, str(program))
