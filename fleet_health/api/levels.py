"""The overall level of a status document, for monitoring plugins and the page.

It is critical if an incident is firing, and a warning if an incident is in doubt or the service has a problem.
Suppressed and pending incidents do not count, because an operator knows of the former, and the latter may pass.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Mapping


class Level(IntEnum):
    """A level, with its exit status."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def level_of(document: Mapping[str, Any]) -> Level:
    """Return the level of a status document."""
    open_now = document["incidents_by_state"]
    if State.FIRING in open_now:
        return Level.CRITICAL
    if document["is_blind"]:
        return Level.UNKNOWN
    is_doubtful = State.UNCONFIRMED in open_now or State.FLAPPING in open_now or document["hidden_by_symptom"]
    return Level.WARNING if is_doubtful or document["problems"] else Level.OK
