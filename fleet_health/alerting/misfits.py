"""Find hosts whose limit does not fit their rhythm: they are silent repeatedly, and recover by themselves.

A silence during which the host was refused does not count, because a longer limit would hide its reason.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fleet_health.alerting.lifecycle import State
from fleet_health.alerting.symptoms import MISSED, STAGES
from fleet_health.detectors import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleet_health.alerting.ended import Ended

_OF_REFUSALS = frozenset(STAGES).difference(MISSED)

ENOUGH = 3
"""The number of recent `silent` incidents, notified and resolved, from which on a host is a misfit."""


def misfits(ended: Iterable[Ended], is_fixed: Callable[[str], bool]) -> dict[str, int]:
    """Return host -> number of silences that it recovered from without being refused, for each misfit.

    Args:
        ended: The incidents that have ended recently.
        is_fixed: Returns whether the limit of a host is configured rather than learned.

    """
    ended = tuple(ended)
    refusals: dict[str, list[Ended]] = {}
    for one in ended:
        if one.symptom in _OF_REFUSALS:
            refusals.setdefault(one.host, []).append(one)

    def was_refused(silence: Ended) -> bool:
        others = refusals.get(silence.host, ())
        overlaps = any(one.opened_at <= silence.ended_at and silence.opened_at <= one.ended_at for one in others)
        return overlaps or silent.TRIES in silence.detail

    silences = (one for one in ended if (one.symptom, one.state) == (silent.SYMPTOM, State.RESOLVED))
    counts = Counter(one.host for one in silences if not was_refused(one))
    return {host: count for host, count in counts.items() if count >= ENOUGH and is_fixed(host)}
