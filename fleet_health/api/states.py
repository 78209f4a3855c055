"""The states of a host in the documents, for the service that writes them and the commands that read them."""

from __future__ import annotations

from fleet_health.alerting.lifecycle import State

VERSION = 1
"""The version of the documents. A key may be added without another one; none is taken away, or means something else."""

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
"""The states of a host, the one of most trouble first; with incidents, it is that of the worst of them.

A host is unknown if it has no incident, and yet the journal has a gap in which it may be in trouble, or some of its
responses were dropped because more hosts are refused than are counted.
"""
