"""Which files a log has been rotated to. A reader that starts just after a rotation must look there, too."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.model.instant import Instant

# Numbered, dated, or the one before: `.1`, `-20261123`, `.2026-11-23`, `.old`. A compressed file is not read.
_is_rotated = re.compile(r"[.-](?:\d[\d.-]*|old)", re.ASCII).fullmatch


def is_rotated_name(name: str, other: str) -> bool:
    """Return whether a file of a name would be called by the other one after a rotation."""
    return other.startswith(name) and _is_rotated(other[len(name) :]) is not None


def rotated_files(path: Path, since: Instant) -> list[Path]:
    """Return the files beside `path` that it was rotated to and that were written to at or after `since`; latest last.

    A directory may let us open a file in it, and not list it; then there are none.
    """
    written_at: dict[Path, Instant] = {}
    with suppress(OSError):
        for file in path.parent.iterdir():
            if is_rotated_name(path.name, file.name) and file.is_file():
                written_at[file] = file.stat().st_mtime_ns // 1000
    return sorted((file for file, at in written_at.items() if at >= since), key=written_at.__getitem__)
