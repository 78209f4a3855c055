"""The alerts that the daemon has given, as they stand in its file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.demo.hosts import HOSTS

if TYPE_CHECKING:
    from pathlib import Path

AlertRow = dict[str, str]

EXPECTED = frozenset((host.name, host.symptom) for host in HOSTS if host.symptom)
"""What a daemon that works finds among the simulated hosts: (host, symptom)."""


@dataclass(slots=True)
class Alerts:
    """Follows alerts.jsonl.

    Attributes:
        path: The file; it need not exist yet.
        rows: What has been read of it.

    """

    path: Path
    rows: list[AlertRow] = field(default_factory=list)

    def read_new(self) -> list[AlertRow]:
        """Read what has been added since the last time."""
        try:
            complete, _, _ = self.path.read_bytes().rpartition(b"\n")
        except FileNotFoundError:
            return []
        new = [json.loads(line) for line in complete.splitlines()[len(self.rows) :]]
        self.rows += new
        return new

    def symptoms(self, host: str) -> list[str]:
        """Name the symptoms that a host has been reported with, each once."""
        return sorted({row["symptom"] for row in self.rows if row["host"] == host})

    @property
    def missing(self) -> list[str]:
        """What should have been found and has not been, in words; empty when all is there."""
        return [f"{host} {symptom}" for host, symptom in sorted(EXPECTED - self._found())]

    @property
    def too_many(self) -> list[str]:
        """What should not be there: found without reason, or given twice within an hour; empty when all is well."""
        unexpected = [f"{host} {symptom}, without reason" for host, symptom in sorted(self._found() - EXPECTED)]
        given = Counter((row["dedup_key"], row["host"], row["symptom"]) for row in self.rows)
        repeated = [f"{host} {symptom}, {times} times" for (_, host, symptom), times in given.items() if times > 1]
        return unexpected + repeated

    def _found(self) -> set[tuple[str, str]]:
        return {(row["host"], row["symptom"]) for row in self.rows}
