"""Replace a small file atomically: readers find the old or the new content, even if the process is killed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.errors import SinkUnavailable
from fleet_health.files.safe_files import SafeDirectory, place_of

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_MODE = 0o750
_FILE_MODE = 0o640


def replace_file(path: Path, content: bytes) -> None:
    """Replace the content of a file. Create the file and its directory if they are missing.

    Raises:
        SinkUnavailable: The file could not be replaced; the old one is still in place.

    """
    try:
        with SafeDirectory(path.parent, create_mode=DIRECTORY_MODE) as directory:
            directory.replace_file(path.name, content, _FILE_MODE, temporary=path.with_suffix(".new").name)
    except OSError as error:
        raise unavailable(path, error) from error


def unavailable(path: Path, error: OSError) -> SinkUnavailable:
    """Return the error for a file from the error of a system call. It names the path at fault."""
    return SinkUnavailable(f"{place_of(error, path)}: {error.strerror or error}")
