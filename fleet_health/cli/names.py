"""Print names from the service for completion: `fleet-health __complete hosts|silences PREFIX [CONFIG]`.

A person waits for each keystroke, so the request may take at most a tenth of a second, and after any error nothing is
printed. The output has one name on each line, which the shell quotes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.client import ask, target
from fleet_health.config.locations import DEFAULT_PATH, load_location
from fleet_health.errors import FleetHealthError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PATIENCE_S = 0.1
_LIMIT = 200
_WILDCARDS = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})


def print_names(arguments: Sequence[str]) -> int:
    """Print the names of a kind that begin with a prefix; return 0."""
    if len(arguments) in {2, 3}:
        kind, prefix, *config = arguments
        path = Path(config[0]) if config else DEFAULT_PATH
        try:
            socket = load_location(path if path.exists() else None, "control.path")
            found = [name for name in _names(socket, kind, prefix) if name.startswith(prefix) and _is_typeable(name)]
            sys.stdout.write("".join(f"{name}\n" for name in found))
            sys.stdout.flush()
        except (FleetHealthError, OSError, KeyError, TypeError, ValueError):
            # An unexpected response may be that of another release.
            return 0
    return 0


def _names(socket: Path, kind: str, prefix: str) -> Iterator[str]:
    if kind == "hosts":
        glob = prefix.translate(_WILDCARDS) + "*"
        wanted = target("hosts", query={"host": [glob], "limit": [str(_LIMIT)]})
        yield from (row["host"] for row in ask(socket, wanted, patience_s=_PATIENCE_S)["hosts"])
    elif kind == "silences":
        for row in ask(socket, target("silences"), patience_s=_PATIENCE_S)["silences"]:
            yield row["id"]


def _is_typeable(name: str) -> bool:
    """Return whether a name is a single line that a terminal shows unchanged."""
    return name.isprintable() and printable(name) == name
