"""How a status document is to be taken as a whole, for monitoring plugins and for the page.

Critical is what somebody must look at now: something fires. A warning is what is in doubt, or what the service itself
has trouble with. Suppressed and pending incidents are neither: somebody has dealt with the former, and the latter may
pass.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Mapping


class Level(IntEnum):
    """What is reported, with its exit status."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def level_of(document: Mapping[str, Any]) -> Level:
    """Return how a status document is to be taken."""
    open_now = document["incidents_by_state"]
    if State.FIRING in open_now:
        return Level.CRITICAL
    if document["is_blind"]:
        return Level.UNKNOWN
    is_doubtful = State.UNCONFIRMED in open_now or State.FLAPPING in open_now or document["hidden_by_symptom"]
    return Level.WARNING if is_doubtful or document["problems"] else Level.OK
