"""Notifications: an alert, or a notice that an incident has ended; and the row of each in `alerts.jsonl`."""

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
"""The status of an incident whose host has shown no sign (if it is silent, no upload) for the whole lookback."""


def dedup_key(host: str, symptom: str, at: Instant) -> str:
    """Return the key of the alerts of a host and symptom in the UTC hour that contains `at`: 16 hex digits."""
    return _key(f"{host}|{symptom}|{utc_hour(at)}")


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding at the instant of its evaluation.

    Attributes:
        finding: The finding.
        detected_at: The instant.
        evidence: What else is known about its host; None if it is about no host.
        command: A command that shows the journal lines about it; empty if there is none.
        after: When the previous incident of this host and symptom was resolved, if that was in the same hour; else
            None. Alerts up to then belong to that one.
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
        """The key of all alerts of the host and symptom in this UTC hour. An incident has one alert an hour."""
        return dedup_key(self.finding.host, self.finding.symptom, self.detected_at)

    def row(self) -> dict[str, Any]:
        """Return the alert's row: six keys that programs rely on, and the evidence. Keys may be added, not renamed."""
        return self._contract() | ({"is_repeat": True} if self.is_repeat else {}) | self.facts()

    def facts(self) -> dict[str, Any]:
        """Return the evidence as keys of the row, without what is unknown."""
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
        """Return the alert in one line that is easy to grep."""
        return f"ALERT host={self.finding.host} symptom={self.finding.symptom} {self.finding.detail}"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that an incident has ended or that its host is lost. Nobody needs to act on it.

    Attributes:
        status: `RESOLVED` or `LOST`.
        host: The incident's host.
        symptom: Its symptom.
        began_at: When the fault began, as far as that is known; not when it was first alerted.
        ended_at: When the recovery was first seen; for a lost host, the same as `detected_at`.
        detected_at: The instant of the evaluation that decided so.

    """

    status: str
    host: str
    symptom: str
    began_at: Instant
    ended_at: Instant
    detected_at: Instant

    @property
    def lasted_us(self) -> int:
        """How long the fault lasted; never negative, even if the clock was set."""
        return max(0, self.ended_at - self.began_at)

    @property
    def detail(self) -> str:
        """What happened, in one sentence."""
        if self.status == LOST:
            return (
                f"no sign of it for the whole lookback, after {describe(self.lasted_us)} of {self.symptom};"
                " it is not notified again"
            )
        return f"it is over, after {describe(self.lasted_us)}"

    @property
    def dedup_key(self) -> str:
        """A key that no alert and no other notice has."""
        return _key(f"{self.host}|{self.symptom}|{self.status}|{self.detected_at}")

    def row(self) -> dict[str, Any]:
        """Return the notice's row: an alert's keys, `status` and `lasted_s`."""
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
        """Return the notice in one line that is easy to grep."""
        return f"{self.status.upper()} host={self.host} symptom={self.symptom} {self.detail}"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
