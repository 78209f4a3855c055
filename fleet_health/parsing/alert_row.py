"""A row of `alerts.jsonl`, read back: which alert was given, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fleet_health.parsing.timestamp import parse_time

if TYPE_CHECKING:
    from fleet_health.domain.instant import Instant


class _AlertRow(msgspec.Struct, gc=False):
    detected_at_wall: str
    dedup_key: str


class _IncidentRow(msgspec.Struct, gc=False):
    detected_at_wall: str
    host: str
    symptom: str
    status: str = ""


_decode = msgspec.json.Decoder(_AlertRow).decode
_decode_incident = msgspec.json.Decoder(_IncidentRow).decode


def parse_alert_row(line: bytes) -> tuple[str, Instant] | None:
    """Give a row's dedup key and its instant; None if the line is not such a row."""
    try:
        row = _decode(line)
        return row.dedup_key, parse_time(row.detected_at_wall)
    except (msgspec.DecodeError, ValueError, RecursionError):  # ValueError: no UTF-8, or no time
        return None


def parse_incident_row(line: bytes) -> tuple[tuple[str, str, str], Instant] | None:
    """Give a row's host, symptom and status (empty for an alert), and its instant; None if the line is no such row."""
    try:
        row = _decode_incident(line)
        return (row.host, row.symptom, row.status), parse_time(row.detected_at_wall)
    except (msgspec.DecodeError, ValueError, RecursionError):  # as above
        return None
