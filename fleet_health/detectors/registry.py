"""Every detector, in the order in which they run and are shown.

Everything that the rest of the program needs to know about symptoms derives from here: configuration keys, overrides,
MESSAGE_IDs, the choices of `--symptom`, and which incidents a host may have in a replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors import (
    blind,
    degraded,
    fatal_only,
    index_stalled,
    journal_lossy,
    never_seen,
    receiver_down,
    receiver_failing,
    silent,
    slow,
    too_many_hosts,
    unknown_hosts,
    unstamped,
)

if TYPE_CHECKING:
    from fleet_health.detectors.spec import DetectorSpec

DETECTORS: tuple[DetectorSpec, ...] = (
    silent.SPEC,
    fatal_only.SPEC,
    unstamped.SPEC,
    degraded.SPEC,
    slow.SPEC,
    never_seen.SPEC,
    blind.SPEC,
    too_many_hosts.SPEC,
    unknown_hosts.SPEC,
    receiver_failing.SPEC,
    receiver_down.SPEC,
    index_stalled.SPEC,
    journal_lossy.SPEC,
)
