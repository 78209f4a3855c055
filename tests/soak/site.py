"""The directory that holds all of the service's files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.soak.fleet import RULES
from tests.soak.inputs import Index, Journal, Rotation, rotate
from tests.soak.surroundings import ServiceLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.soak.fleet import Upload

# They agree in every rule, and in what is read; but each source must be opened anew, and the alert log is another.
_VARIANTS = (
    """
alerts.path = "alerts-0.jsonl"
state.directory = "state"
control.path = "control.sock"
index.host_field = "host_id"
""",
    r"""
alerts.path = "alerts-1.jsonl"
state.directory = "state"
control.path = "control.sock"
index.host_field = "name"
journal.response = '"PUT /v1/episodes/(?P<host>[^/]+)/[^"]+" (?P<status>\d{3})$'
# With a pattern of its own for responses, there is none for missing stamps by default.
journal.unstamped = { contains = "missing X-Cis490-Code-Commit", host = 'host=(?P<host>[^\s,]+)' }
""",
)


class Site:
    """What the service reads, what it writes, and its configuration."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "config.toml"
        self.log = ServiceLog(directory / "service.log")
        self._directory = directory
        self._index = Index(directory / "index.jsonl")
        self._journal = Journal(directory / "journal")
        self._variant = 0
        self._write_configuration()

    def write(self, uploads: Iterable[Upload], at_us: int) -> None:
        """Write what the receiver does of uploads at an instant, in microseconds since the epoch."""
        uploads = list(uploads)
        self._journal.write(uploads, at_us)
        self._index.write((upload for upload in uploads if upload.is_accepted), at_us)

    def rotate_index(self, at_us: int, rotation: Rotation) -> None:
        """Rotate the index."""
        self._index.rotate(at_us, rotation)

    def rotate_journal(self) -> None:
        """Rotate and vacuum the journal."""
        self._journal.rotate()

    def rotate_alerts(self, at_us: int, rotation: Rotation) -> None:
        """Rotate the alert log that is in use."""
        rotate(self._directory / f"alerts-{self._variant}.jsonl", at_us, rotation)

    def reconfigure(self) -> None:
        """Write another configuration."""
        self._variant = 1 - self._variant
        self._write_configuration()

    def misconfigure(self) -> None:
        """Write a configuration that is refused."""
        self.config.write_text('tick = "never"\n')

    def alert_rows(self) -> Iterator[dict[str, Any]]:
        """Return the rows of every alert log that is there."""
        for file in self._directory.glob("alerts-*.jsonl*"):
            for line in file.read_bytes().splitlines():
                yield json.loads(line)

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()
        self._journal.close()

    def _write_configuration(self) -> None:
        paths = 'index.path = "index.jsonl"\njournal.directory = "journal"\n'
        self.config.write_text(RULES + paths + _VARIANTS[self._variant])
