"""The JSON document of a notification, for webhooks and commands. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.errors import printable
from fleet_health.model.instant import isoformat
from fleet_health.notify import wording

if TYPE_CHECKING:
    from fleet_health.notify.message import Message

VERSION = 1
"""The version of the document. Keys may be added within a version; none is removed, and none changes its meaning."""


def payload(message: Message) -> dict[str, Any]:
    """Return the document of a message with one notification. Its keys are called as in the API."""
    (one,) = message.notifications
    return {
        "version": VERSION,
        "key": message.key,
        "is_test": message.is_test,
        "kind": one.kind.value,
        "id": one.incident,
        "host": printable(one.host),
        "symptom": printable(one.symptom),
        "detail": printable(one.detail),
        "suggested_fix": printable(one.suggested_fix),
        "opened_wall": isoformat(one.opened_at),
        "notified_wall": isoformat(one.decided_at),
        "ended_wall": None if one.ended_at is None else isoformat(one.ended_at),
        "is_unannounced": one.is_unannounced,
        "subject": wording.subject(message),
        "text": wording.text(message),
    }
