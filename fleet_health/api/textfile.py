"""The metrics as a file, for the textfile collector of node_exporter.

It is replaced whole after each evaluation, and holds no timestamps, which the collector refuses. A file that is not
written any more goes on being served; when the fleet was last evaluated is a metric, and tells.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.errors import SinkUnavailable
from fleet_health.files.hanging_calls import call_at
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.records.atomic_file import unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from fleet_health.service.publication import Publication

# node_exporter runs as another user.
_MODE = 0o644

_log = structlog.get_logger("fleet_health.service")


class Textfile:
    """Keeps the file up to date."""

    def __init__(
        self, publication: Publication, path: Callable[[], Path | None], metrics: Callable[[], Awaitable[bytes]]
    ) -> None:
        """Take what tells of evaluations, where the file is to be at present, and what makes its content."""
        self.problem = ""
        """Why the file is not up to date; empty if it is, or if there is to be none."""
        self._publication = publication
        self._path = path
        self._metrics = metrics
        self._written: Path | None = None

    async def run(self) -> NoReturn:
        """Write it after each evaluation, for ever."""
        while True:
            change = self._publication.change
            if self._publication.number:
                await self._write()
            await change.wait()

    async def _write(self) -> None:
        path, written = self._path(), self._written
        if written is not None and written != path:  # the collector would serve both
            self._written = None
            with suppress(OSError, SinkUnavailable):
                await call_at(written, _remove, written)
        problem = ""
        if path is not None:
            try:
                await call_at(path, _replace, path, await self._metrics())
                self._written = path
            except SinkUnavailable as error:  # a path that hangs is one
                problem = str(error)
            except Exception as error:  # noqa: BLE001 - what adorns the service must not end it
                problem = f"{type(error).__name__}: {error}"
        if problem and problem != self.problem:
            _log.error("metrics file not written", reason=problem)
        elif self.problem and not problem:
            _log.info("metrics file written again", path=str(path))
        self.problem = problem


def _replace(path: Path, content: bytes) -> None:
    try:
        # Its directory is the collector's: to make one that nobody looks into would hide a mistake.
        with SafeDirectory(path.parent) as directory:
            directory.replace_file(path.name, content, _MODE, temporary=path.with_suffix(".new").name)
    except OSError as error:
        raise unavailable(path, error) from error


def _remove(path: Path) -> None:
    with SafeDirectory(path.parent) as directory:
        directory.remove(path.name)
