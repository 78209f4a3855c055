"""Hosts whose limit does not fit their rhythm: they are found silent again and again, and come back by themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fleet_health.alerting.lifecycle import State
from fleet_health.detectors import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleet_health.alerting.ended import Ended

ENOUGH = 3
"""So often a host must have been notified to be silent, and have come back, of late."""


def misfits(ended: Iterable[Ended], is_fixed: Callable[[str], bool]) -> dict[str, int]:
    """Return how often each host that has a fixed limit was silent and came back, of those that did so often enough.

    Args:
        ended: The incidents that have ended of late.
        is_fixed: Returns whether a host has the limit that is configured, not one of its own.

    """
    counts = Counter(one.host for one in ended if (one.symptom, one.state) == (silent.SYMPTOM, State.RESOLVED))
    return {host: count for host, count in counts.items() if count >= ENOUGH and is_fixed(host)}
