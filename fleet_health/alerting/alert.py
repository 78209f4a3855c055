"""The two kinds of notification, alerts and notices, and their rows in `alerts.jsonl`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# msgspec reads the annotations of a notice at run time.
from fleet_health.model.instant import SECOND_US, Instant, describe, isoformat, utc_hour

if TYPE_CHECKING:
    from fleet_health.alerting.evidence import Evidence
    from fleet_health.detectors.spec import Finding

RESOLVED = "resolved"
"""The status of an incident that was seen to recover."""
LOST = "lost"
"""The status of an incident whose host has shown no sign for the whole lookback (no upload, if it is silent)."""


def dedup_key(host: str, symptom: str, at: Instant) -> str:
    """Return the key of the alerts of a host and symptom in the UTC hour that contains `at`: 16 hex digits."""
    return _key(f"{host}|{symptom}|{utc_hour(at)}")


@dataclass(frozen=True, slots=True)
class Alert:
    """The notification that a finding was made.

    Attributes:
        finding: The finding.
        detected_at: The instant of the evaluation that made it.
        evidence: More facts about its host; None if it is about no single host.
        command: The command that shows the journal lines about it; empty if there is none.
        after: When the previous incident of this host and symptom resolved, if that was in the same hour; else None.
            Rows of the alert log up to then belong to that incident.
        is_repeat: Whether its incident was already notified.

    """

    finding: Finding
    detected_at: Instant
    evidence: Evidence | None = None
    command: str = ""
    after: Instant | None = None
    is_repeat: bool = False

    @property
    def dedup_key(self) -> str:
        """The key of the only alert that the host and symptom may have in this UTC hour."""
        return dedup_key(self.finding.host, self.finding.symptom, self.detected_at)

    def row(self) -> dict[str, Any]:
        """Return the row of the alert log: six keys that programs rely on, and the evidence.

        Keys may be added, but never renamed.
        """
        return self._contract() | ({"is_repeat": True} if self.is_repeat else {}) | self.facts()

    def facts(self) -> dict[str, Any]:
        """Return the evidence as keys of the row, without those whose value is unknown."""
        facts: dict[str, Any] = {}
        if (evidence := self.evidence) is not None:
            instants = {"last_good_wall": evidence.last_good_at, "first_bad_wall": evidence.first_bad_at}
            facts |= {key: isoformat(at) for key, at in instants.items() if at is not None}
            if evidence.counts:
                facts["responses"] = {str(status): count for status, count in evidence.counts.items()}
            if evidence.unstamped:
                facts["unstamped"] = evidence.unstamped
            if evidence.reason:
                facts["reason"] = evidence.reason
            if evidence.samples:
                facts["samples"] = list(evidence.samples)
        if self.command:
            facts["command"] = self.command
        return facts

    def _contract(self) -> dict[str, Any]:
        return {
            "host": self.finding.host,
            "symptom": self.finding.symptom,
            "detail": self.finding.detail,
            "suggested_fix": self.finding.suggested_fix,
            "detected_at_wall": isoformat(self.detected_at),
            "dedup_key": self.dedup_key,
        }

    def line(self) -> str:
        """Return one line about the alert, for logs."""
        return f"ALERT host={self.finding.host} symptom={self.finding.symptom} {self.finding.detail}"


@dataclass(frozen=True, slots=True)
class Notice:
    """The notification that an incident is resolved or that its host is lost. It needs no action.

    Attributes:
        status: `RESOLVED` or `LOST`.
        host: The incident's host.
        symptom: Its symptom.
        began_at: When the fault began, as far as known. This may be earlier than its first alert.
        ended_at: When the recovery was first seen; for a lost host, the same as `detected_at`.
        detected_at: The instant of the evaluation that made the notice.

    """

    status: str
    host: str
    symptom: str
    began_at: Instant
    ended_at: Instant
    detected_at: Instant

    @property
    def lasted_us(self) -> int:
        """How long the fault lasted, in microseconds; never negative, even if the clock was set."""
        return max(0, self.ended_at - self.began_at)

    @property
    def detail(self) -> str:
        """A sentence that describes what happened."""
        if self.status == LOST:
            return (
                f"no sign of the host for the whole lookback, after {describe(self.lasted_us)} of {self.symptom};"
                " it will not be notified again"
            )
        return f"resolved after {describe(self.lasted_us)}"

    @property
    def dedup_key(self) -> str:
        """A key that is unique among alerts and notices."""
        return _key(f"{self.host}|{self.symptom}|{self.status}|{self.detected_at}")

    def row(self) -> dict[str, Any]:
        """Return the row of the alert log: the six keys of an alert, `status` and `lasted_s`."""
        return {
            "host": self.host,
            "symptom": self.symptom,
            "detail": self.detail,
            "suggested_fix": "",
            "detected_at_wall": isoformat(self.detected_at),
            "dedup_key": self.dedup_key,
            "status": self.status,
            "lasted_s": self.lasted_us / SECOND_US,
        }

    def line(self) -> str:
        """Return one line about the notice, for logs."""
        return f"{self.status.upper()} host={self.host} symptom={self.symptom} {self.detail}"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
