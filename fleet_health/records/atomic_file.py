"""Replaces a small file atomically: a reader finds the old or the new one, even if we are killed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.errors import SinkUnavailable
from fleet_health.files.safe_files import SafeDirectory, place_of

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_MODE = 0o750
_FILE_MODE = 0o640


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file by one with new content; create its directory if it is missing.

    Raises:
        SinkUnavailable: The old file is still in place.

    """
    try:
        with SafeDirectory(path.parent, create_mode=DIRECTORY_MODE) as directory:
            directory.replace_file(path.name, content, _FILE_MODE, temporary=path.with_suffix(".new").name)
    except OSError as error:
        raise unavailable(path, error) from error


def unavailable(path: Path, error: OSError) -> SinkUnavailable:
    """Return the error for a file from that of a system call; it names the path that caused it."""
    return SinkUnavailable(f"{place_of(error, path)}: {error.strerror or error}")
