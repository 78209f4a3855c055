"""Parse the rows of `alerts.jsonl`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from fleet_health.alerting.alert import Alert, Notice
from fleet_health.alerting.evidence import Evidence
from fleet_health.detectors.spec import Finding
from fleet_health.errors import printable
from fleet_health.model.instant import SECOND_US
from fleet_health.model.subject import is_subject
from fleet_health.parsing.timestamp import parse_time

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant


class _AlertRow(msgspec.Struct, gc=False):
    detected_at_wall: str
    dedup_key: str


class _IncidentRow(msgspec.Struct, gc=False):
    detected_at_wall: str
    host: str
    symptom: str
    status: str = ""


_TEXT_LIMIT = 1 << 16
_Text = Annotated[str, msgspec.Meta(max_length=_TEXT_LIMIT)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _WholeRow(msgspec.Struct, gc=False):
    host: str
    symptom: str
    detail: _Text
    suggested_fix: _Text
    detected_at_wall: str
    dedup_key: str
    status: str = ""
    lasted_s: Annotated[float, msgspec.Meta(ge=0, le=1e10)] | None = None
    last_good_wall: str | None = None
    first_bad_wall: str | None = None
    responses: dict[int, _Count] = {}
    unstamped: _Count = 0
    reason: Annotated[str, msgspec.Meta(max_length=20)] = ""
    samples: Annotated[list[_Text], msgspec.Meta(max_length=10)] = []
    command: _Text = ""
    is_repeat: bool = False


_decode = msgspec.json.Decoder(_AlertRow).decode
_decode_incident = msgspec.json.Decoder(_IncidentRow).decode
_decode_whole = msgspec.json.Decoder(_WholeRow, strict=False).decode


def parse_alert_row(line: bytes) -> tuple[str, Instant] | None:
    """Return the dedup key and instant of a row; None if the line is not a row."""
    try:
        row = _decode(line)
        return row.dedup_key, parse_time(row.detected_at_wall)
    except (msgspec.DecodeError, ValueError, RecursionError):  # ValueError: not UTF-8, or not a time
        return None


def parse_incident_row(line: bytes) -> tuple[tuple[str, str, str], Instant] | None:
    """Return host, symptom, status (empty for an alert) and instant of a row; None if the line is not a row."""
    try:
        row = _decode_incident(line)
        return (row.host, row.symptom, row.status), parse_time(row.detected_at_wall)
    except (msgspec.DecodeError, ValueError, RecursionError):  # as above
        return None


def parse_whole_row(line: bytes) -> tuple[Alert | Notice, Instant] | None:
    """Return the alert or notice of a row, with its instant; None if the row is not one of fleet-health.

    A row of fleet-health has the dedup key of its host, symptom and instant. Notices of releases that did not write
    `lasted_s` cannot be restored.
    """
    try:
        row = _decode_whole(line)
        at = parse_time(row.detected_at_wall)
        entry = _notice(row, at) if row.status else _alert(row, at)
    except (msgspec.DecodeError, ValueError, RecursionError):  # as above
        return None
    is_ours = is_subject(row.host)
    return (entry, at) if is_ours and entry is not None and entry.dedup_key == row.dedup_key else None


def _alert(row: _WholeRow, at: Instant) -> Alert:
    good, bad = (None if text is None else parse_time(text) for text in (row.last_good_wall, row.first_bad_wall))
    evidence = Evidence(good, bad, row.responses, row.unstamped, printable(row.reason), [*map(printable, row.samples)])
    finding = Finding(row.host, row.symptom, printable(row.detail), printable(row.suggested_fix))
    return Alert(finding, at, evidence, printable(row.command), is_repeat=row.is_repeat)


def _notice(row: _WholeRow, at: Instant) -> Notice | None:
    if row.lasted_s is None:
        return None
    return Notice(row.status, row.host, row.symptom, at - round(row.lasted_s * SECOND_US), at, at)
