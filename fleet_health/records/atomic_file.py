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
    """Put a file with some content in the place of another; its directory is made if need be.

    Raises:
        SinkUnavailable: The old one is still there.

    """
    try:
        with SafeDirectory(path.parent, create_mode=DIRECTORY_MODE) as directory:
            directory.replace_file(path.name, content, _FILE_MODE, temporary=path.with_suffix(".new").name)
    except OSError as error:
        raise unavailable(path, error) from error


def unavailable(path: Path, error: OSError) -> SinkUnavailable:
    """Make the error of a file from that of a call; it names the path that is at fault."""
    return SinkUnavailable(f"{place_of(error, path)}: {error.strerror or error}")
