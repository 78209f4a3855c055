"""Incidents and notifications as rows of the ledger's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.notify.documents import Incident
from fleet_health.notify.message import Kind, Notification

if TYPE_CHECKING:
    from collections.abc import Sequence

INCIDENT = (
    "id, host, symptom, detail, suggested_fix, opened_at, first_notified_at, last_notified_at, ended_at, resolved_at,"
    " is_over, loss_notified_at"
)
"""The columns that `incident` reads."""

NOTIFICATION = "incident, kind, host, symptom, detail, suggested_fix, opened_at, decided_at, ended_at, is_unannounced"
"""The columns that `notification` reads."""

_RANKS = " ".join(f"WHEN '{kind}' THEN {kind.rank}" for kind in Kind)
IN_ORDER = f"ORDER BY decided_at, CASE kind {_RANKS} END, host, symptom, incident"
"""The order of notifications: that of the decisions."""


def incident(row: Sequence[Any]) -> Incident:
    """Return the incident of a row."""
    *fields, is_over, loss_notified_at = row
    return Incident(*[*fields, bool(is_over), loss_notified_at])


def notification(row: Sequence[Any]) -> Notification:
    """Return the notification of a row."""
    incident_id, kind, *fields, is_unannounced = row
    return Notification(*[incident_id, Kind(kind), *fields, bool(is_unannounced)])
