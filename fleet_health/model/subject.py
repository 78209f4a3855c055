"""The subject of a finding, an incident or an alert: a host, a receiver, or the fleet as a whole.

Where there is one receiver it has no name, and what is about it is written `*`, like what is about the fleet. Where
there are several, each has a name, and what is about one is written `*@NAME`. So are its sources: `index`, or
`index@NAME`.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from fleet_health.model.host_name import is_host_name, safe_glob

EVERY_HOST = "*"
"""The host of a finding that concerns no host in particular. No host is named so: names are made safe."""

Pair: TypeAlias = tuple[str, str]
"""A host, or `EVERY_HOST`, or a receiver as `*@NAME`, and a symptom."""

_AT = "@"
_is_receiver_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII).fullmatch


def is_host(subject: str) -> bool:
    """Return whether it is a host that something is about."""
    return not subject.startswith(EVERY_HOST)


def named(general: str, receiver: str) -> str:
    """Return a receiver's own one of something that each has: `*@NAME`, `index@NAME`; without a name as it is."""
    return f"{general}{_AT}{receiver}" if receiver else general


def receiver_of(subject: str) -> str:
    """Return the name of the receiver that `named` was called with."""
    return subject.partition(_AT)[2]


def general(subject: str) -> str:
    """Return what `named` was called with beside the receiver."""
    return subject.partition(_AT)[0]


def is_receiver_name(text: str) -> bool:
    """Return whether a receiver may be named so: 1 to 32 of `[A-Za-z0-9._-]`, the first a letter or a digit."""
    return _is_receiver_name(text) is not None


def is_subject(text: str) -> bool:
    """Return whether something can be about it."""
    if is_host(text):
        return is_host_name(text)
    return text == EVERY_HOST or (text.startswith(f"{EVERY_HOST}{_AT}") and is_receiver_name(receiver_of(text)))


def subject_glob(text: str) -> str:
    """Write what an operator asks for, a receiver, a host or a glob for some, for the names that hosts are known by."""
    return text if is_subject(text) else safe_glob(text)
