"""The states of a host in the documents, for both the service and the commands."""

from __future__ import annotations

from fleet_health.alerting.lifecycle import State

VERSION = 1
"""The version of the documents. Keys may be added within a version, but not removed or given another meaning."""

UNKNOWN, WELL = "unknown", "well"
"""The states of a host without an incident."""

STATES: tuple[str, ...] = (
    State.FIRING,
    State.UNCONFIRMED,
    UNKNOWN,
    State.INHIBITED,
    State.SILENCED,
    State.MUTED,
    State.FLAPPING,
    State.PENDING,
    State.LOST,
    WELL,
)
"""The states of a host, worst first. A host with incidents has the state of its worst one.

A host without an incident is unknown if the journal has a gap that may hide one, or if some of its responses were
dropped because more hosts are refused than are counted.
"""
