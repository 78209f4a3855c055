"""A row of `alerts.jsonl`, read back: which alert was given, and when."""

from __future__ import annotations

from datetime import datetime

import msgspec

from fleet_health.domain.instant import Instant, from_datetime


class _AlertRow(msgspec.Struct, gc=False):
    detected_at_wall: str
    dedup_key: str


_decode = msgspec.json.Decoder(_AlertRow).decode


def parse_alert_row(line: bytes) -> tuple[str, Instant] | None:
    """Give a row's dedup key and its instant; None if the line is not such a row."""
    try:
        row = _decode(line)
        moment = datetime.fromisoformat(row.detected_at_wall)
    except (msgspec.DecodeError, ValueError, RecursionError):  # ValueError: no UTF-8, or no date
        return None
    return (row.dedup_key, from_datetime(moment)) if moment.tzinfo else None
