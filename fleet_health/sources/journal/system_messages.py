"""The messages that systemd and journald log about a unit, as opposed to lines of the unit.

They are recognised by the ids in <systemd/sd-messages.h>, and not by their text. A unit can write any text, and any
field that does not begin with an underscore. So an entry counts only if its trusted fields show that it is from the
service manager or from journald.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fleet_health.model.coverage import SUPPRESSED, Gap
from fleet_health.sources.journal.matches import is_suppressed_unit

if TYPE_CHECKING:
    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant

FAILED_START_ID = "be02cf6855d2428ba40df7e9d022f03d"
"""The MESSAGE_ID of failed starts, including those from a failed dependency or assertion."""

# Other messages show no state. A process that exited or ran out of memory (98e32220…, fe6faa94…) may be one of several,
# or a reload. If the unit stops because of that, one of these messages follows.
RUNNING_BY_ID = {
    "39f53479d3a045ac8e11786248231fbf": True,  # started; also a start that was skipped, see `UnitStates`
    "9d1aaa27d60140bd96365438aad20286": False,  # stopped
    FAILED_START_ID: False,
    "7ad2d189f7e94e70a38c781354912448": False,  # deactivated successfully
    "d9b373ed55a64feb8242e02dbe79a49c": False,  # failed with a result
    "0e4284a0caca4bfc81c0bb6786972673": False,  # skipped for ExecCondition=
}
"""MESSAGE_ID of a message of a service manager that shows the state of a unit -> whether the unit runs."""

BOOTED_IDS = frozenset(
    (
        "b07a249cd024414a82dd00cd181378ff",  # start-up is complete
        "eed00a68ffd84e31882105fd973abdd1",  # the same in a container
    )
)
"""The MESSAGE_IDs of messages of PID 1 that the boot is complete, so that all enabled units have been started."""

DROPPED_ID = "a596d6fe7bfa4994828e72309e95d61e"
"""The MESSAGE_ID of journald's "Suppressed N messages from UNIT"."""

SUPPRESSED_WORD = b"Suppressed "
"""The beginning of that message, so that other lines need no further check."""

# A count never has more digits.
_count = re.compile(rb"Suppressed (\d{1,18}) ").match


def suppressed_gap(settings: JournalSettings, message: bytes, last_at: Instant, at: Instant) -> Gap | None:
    """Return the gap that a message of journald reports; None if it is about another unit.

    Args:
        settings: The units of the receiver.
        message: The message.
        last_at: The time of the last line, after which lines were suppressed.
        at: The time of the message.

    """
    _, is_named, unit = message.rpartition(b" from ")
    if not is_named or not is_suppressed_unit(settings, unit.decode("utf-8", "replace")):
        return None
    count = _count(message)
    return Gap(last_at, at, SUPPRESSED, int(count[1]) if count else 0)
