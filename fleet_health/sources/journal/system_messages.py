"""What systemd and journald themselves say of a unit, told apart from what the unit says.

The ids are those of <systemd/sd-messages.h>. A unit can write any text, and any field but those that begin with an
underscore; so an entry counts only if its trusted fields say that it is PID 1's, or journald's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fleet_health.model.coverage import SUPPRESSED, Gap
from fleet_health.model.observation import UnitState

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant

RUNNING_BY_ID = {
    "39f53479d3a045ac8e11786248231fbf": True,  # started
    "9d1aaa27d60140bd96365438aad20286": False,  # stopped
    "be02cf6855d2428ba40df7e9d022f03d": False,  # failed to start
    "7ad2d189f7e94e70a38c781354912448": False,  # deactivated successfully
    "d9b373ed55a64feb8242e02dbe79a49c": False,  # failed with a result
}
"""The MESSAGE_ID of PID 1's messages that tell a unit's state -> whether it runs."""

DROPPED_ID = "a596d6fe7bfa4994828e72309e95d61e"
"""The MESSAGE_ID of journald's "Suppressed N messages from UNIT"."""

# More digits than that no count has.
_is_count = re.compile(rb"Suppressed (\d{1,18}) ").match


class SystemMessages:
    """Tells those of one unit."""

    def __init__(self, unit: str) -> None:
        # What every such message begins with, so that the others need not be looked at any closer.
        self.first_words = b"Started ", b"Stopped ", b"Failed to start ", b"Suppressed ", f"{unit}: ".encode()
        self._dropped_from = f" from {unit}".encode()

    def state(self, message_id: str, at: Instant) -> UnitState | None:
        """Return what PID 1 says of the unit with an id; None if it is not about that."""
        return UnitState(at, RUNNING_BY_ID[message_id]) if message_id in RUNNING_BY_ID else None

    def gap(self, message_id: str, message: bytes, last_at: Instant, at: Instant) -> Gap | None:
        """Return the gap that a message of journald reports, given when the last message came; None for another one."""
        if message_id != DROPPED_ID or not message.endswith(self._dropped_from):
            return None
        # They were dropped after the last one that got through.
        count = _is_count(message)
        return Gap(last_at, at, SUPPRESSED, int(count[1]) if count else 0)
