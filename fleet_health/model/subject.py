"""What a finding, an incident or an alert is about: a host, or the receiver."""

from __future__ import annotations

from typing import TypeAlias

EVERY_HOST = "*"
"""The host of a finding that concerns no host in particular. No host is named so: names are made safe."""

Pair: TypeAlias = tuple[str, str]
"""A host, or `EVERY_HOST`, and a symptom."""
