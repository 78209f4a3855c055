"""The alert: a finding that somebody is to be told of, and its row in `alerts.jsonl`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.domain.instant import isoformat, utc_hour

if TYPE_CHECKING:
    from fleet_health.domain.detectors.contract import Finding
    from fleet_health.domain.instant import Instant


def dedup_key(host: str, symptom: str, at: Instant) -> str:
    """Name the one alert that a host and symptom get in the UTC hour that holds `at`: 16 hex digits."""
    return hashlib.sha256(f"{host}|{symptom}|{utc_hour(at)}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding at the instant of its evaluation."""

    finding: Finding
    detected_at: Instant

    @property
    def dedup_key(self) -> str:
        """The key under which this alert is given only once."""
        return dedup_key(self.finding.host, self.finding.symptom, self.detected_at)

    def row(self) -> dict[str, str]:
        """Give the alert's row: six keys that others rely on. More may be added, none renamed."""
        return {
            "host": self.finding.host,
            "symptom": self.finding.symptom,
            "detail": self.finding.detail,
            "suggested_fix": self.finding.suggested_fix,
            "detected_at_wall": isoformat(self.detected_at),
            "dedup_key": self.dedup_key,
        }

    def line(self) -> str:
        """Say the alert in one line that is easy to grep."""
        return f"ALERT host={self.finding.host} symptom={self.finding.symptom} {self.finding.detail}"
