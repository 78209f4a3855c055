"""Observations: one fact each. Every observation is valid, because parsing makes only valid ones.

They are msgspec Structs outside the reach of the garbage collector: one is made for every journal entry and
every index row, and making one must cost no more than a tuple.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from fleet_health.model.instant import Instant  # noqa: TC001 - msgspec reads the annotations at run time


class Upload(msgspec.Struct, frozen=True, gc=False):
    """An upload that the receiver accepted and wrote to its index.

    Attributes:
        host: The host's name, already made safe (`parsing.host_name`).
        at: When the receiver took it, from the row.

    """

    host: str
    at: Instant


class Response(msgspec.Struct, frozen=True, gc=False):
    """The receiver's answer to one upload, from an access line.

    Attributes:
        host: The host's name, already made safe.
        at: The journal entry's realtime timestamp.
        status: The HTTP status, of the classes 2xx, 4xx and 5xx only.

    """

    host: str
    at: Instant
    status: int


class Unstamped(msgspec.Struct, frozen=True, gc=False):
    """An upload that the receiver refused because it came from code without a stamp.

    Attributes:
        host: The host's name, already made safe.
        at: The journal entry's realtime timestamp.

    """

    host: str
    at: Instant


class UnitState(msgspec.Struct, frozen=True, gc=False):
    """Systemd's word on the receiver's unit.

    Attributes:
        at: The journal entry's realtime timestamp.
        is_running: Whether it had started, or had stopped or failed.

    """

    at: Instant
    is_running: bool


Observation: TypeAlias = Upload | Response | Unstamped
