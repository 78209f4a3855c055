"""Check that the service can write to the files and directories that a configuration names.

A directory without write permission is no error of the configuration, so it would otherwise show only at a write.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet_health.config.schema import Settings


class Output(NamedTuple):
    """A file or directory to which the service writes.

    Attributes:
        key: The key of its setting.
        directory: The directory of its files.
        file: The file; None for several files.
        drop_in: The drop-in that permits the unit to write there.
        is_created: Whether the service creates the directory if it is missing.

    """

    key: str
    directory: Path
    file: Path | None
    drop_in: str
    is_created: bool

    @property
    def place(self) -> Path:
        """The existing directory that must be writable: its own, or the parent in which that will be created."""
        place = self.directory
        while self.is_created and not os.path.lexists(place) and place.name:
            place = place.parent
        return place


def outputs(settings: Settings) -> Iterator[Output]:
    """Yield each file or directory to which the service writes."""
    alerts, textfile, page = settings.alerts_path, settings.metrics.textfile, settings.page_directory
    yield Output("alerts.path", alerts.parent, alerts, "alert-log.conf", is_created=False)
    yield Output("state.directory", settings.state_directory, None, "alert-log.conf", is_created=True)
    if textfile is not None:
        yield Output("metrics.textfile", textfile.parent, textfile, "textfile.conf", is_created=False)
    if page is not None:
        yield Output("page.directory", page, None, "page.conf", is_created=False)


def unwritable(output: Output) -> str:
    """Return why this process cannot write to a place, in a clause; empty if no obstacle is known."""
    place = output.place
    try:
        is_read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError as error:
        return f"{place}: {error.strerror}"
    if not place.is_dir():
        return f"{place}: expected a directory, found another file"
    if is_read_only:
        own = "the unit lets the service write only to its own directories"
        return f"{place}: read-only; {own}: see drop-ins/{output.drop_in}"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place}: permission denied; let the user of the service write there"
    return "" if output.file is None else _unwritable_file(output.file)


def _unwritable_file(file: Path) -> str:
    if file.is_dir():
        return f"{file}: expected a file, found a directory"
    if file.exists() and not os.access(file, os.W_OK):
        return f"{file}: permission denied; let the user of the service write it"
    return ""
