"""Write files for other programs after each evaluation: the metrics for node_exporter, and the page for a web server.

Each file is replaced atomically, so readers see the old one or the new one. No other part waits for them, and files
that are slow to make or write are written less often.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.errors import SinkUnavailable
from fleet_health.files.hanging_calls import call_at
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.records.atomic_file import unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from fleet_health.service.publication import Publication

# Another user reads the files.
_MODE = 0o644
# How long to rest after a write, as a multiple of its duration.
_REST = 3

_log = structlog.get_logger("fleet_health.service")


class PublishedFiles:
    """Keeps files in one directory up to date."""

    def __init__(
        self,
        what: str,
        directory: Callable[[], Path | None],
        make: Callable[[], Awaitable[Mapping[str, bytes]]],
    ) -> None:
        """Take their description and contents.

        Args:
            what: Their description.
            directory: Returns their present directory; None if they are off.
            make: Makes the contents: name -> bytes.

        """
        self.problem = ""
        """The reason why they are not up to date; empty if they are up to date or off."""
        self.what = what
        """Their description."""
        self._directory = directory
        self._make = make
        self._written: dict[Path, int] = {}
        """Name of a written file -> a hash of its content."""

    async def run(self, publication: Publication) -> NoReturn:
        """Write them after each published evaluation, forever."""
        while True:
            change, began_at = publication.change, time.monotonic()
            if publication.number:
                await self.write()
                await asyncio.sleep(_REST * (time.monotonic() - began_at))
            await change.wait()

    async def write(self) -> None:
        """Write them now unless they are off. Remove written files that are no longer among them."""
        directory, problem = self._directory(), ""
        contents: dict[Path, bytes] = {}
        try:
            if directory is not None:
                contents = {directory / name: content for name, content in (await self._make()).items()}
            await self._remove_all_but(contents)
            if directory is not None:
                await call_at(directory, _replace, directory, contents, self._written)
            self._written = {path: hash(content) for path, content in contents.items()}
        except SinkUnavailable as error:  # PathHangs is one
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - an extra must not end the service
            problem = f"{type(error).__name__}: {error}"
        if problem and problem != self.problem:
            _log.error("published file not written", what=self.what, reason=problem)
        elif self.problem and not problem:
            _log.info("published file written again", what=self.what, directory=str(directory))
        self.problem = problem

    async def _remove_all_but(self, contents: Mapping[Path, bytes]) -> None:
        """Remove written files that are not among `contents`, so that no program goes on reading them."""
        for gone in self._written.keys() - contents.keys():
            del self._written[gone]
            with suppress(OSError, SinkUnavailable):
                await call_at(gone.parent, _remove, gone)


def _replace(directory_path: Path, contents: Mapping[Path, bytes], written: Mapping[Path, int]) -> None:
    """Replace files atomically, except those whose content has not changed."""
    for path, content in contents.items():
        if written.get(path) == hash(content) and path.exists():
            continue
        try:
            # The reader owns the directory. Creating a directory that no program reads would hide a mistake.
            with SafeDirectory(directory_path) as directory:
                directory.replace_file(path.name, content, _MODE, temporary=f".{path.name}.new")
        except OSError as error:
            raise unavailable(path, error) from error


def _remove(path: Path) -> None:
    with SafeDirectory(path.parent) as directory:
        directory.remove(path.name)
