"""The alerts in the alert log of the demo, compared with the expected ones."""

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
"""The hosts and symptoms that the service should alert."""


@dataclass(slots=True)
class Alerts:
    """Follows alerts.jsonl.

    Attributes:
        path: The alert log; it need not exist yet.
        rows: All rows read so far.

    """

    path: Path
    rows: list[AlertRow] = field(default_factory=list)

    def read_new(self) -> list[AlertRow]:
        """Return the rows that were appended since the last call."""
        try:
            complete, _, _ = self.path.read_bytes().rpartition(b"\n")
        except FileNotFoundError:
            return []
        new = [json.loads(line) for line in complete.splitlines()[len(self.rows) :]]
        self.rows += new
        return new

    def symptoms(self, host: str) -> list[str]:
        """Return the symptoms alerted for a host, sorted and without duplicates."""
        return sorted({row["symptom"] for row in self.rows if row["host"] == host})

    @property
    def missing(self) -> list[str]:
        """The expected alerts that are not there yet, in words."""
        return [f"{host} {symptom}" for host, symptom in sorted(EXPECTED - self._found())]

    @property
    def too_many(self) -> list[str]:
        """The alerts that should not be there, in words: unexpected ones, and ones repeated within an hour."""
        unexpected = [f"{host} {symptom}, unexpected" for host, symptom in sorted(self._found() - EXPECTED)]
        given = Counter((row["dedup_key"], row["host"], row["symptom"]) for row in self.rows)
        repeated = [f"{host} {symptom}, {times} times" for (_, host, symptom), times in given.items() if times > 1]
        return unexpected + repeated

    def _found(self) -> set[tuple[str, str]]:
        return {(row["host"], row["symptom"]) for row in self.rows}
