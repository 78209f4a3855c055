"""Suppressions for tests: silences and mute windows of some hosts and symptoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.lifecycle import Fact
from fleet_health.alerting.suppression import Suppression

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.suppression import Suppressions


def silenced(pairs: Iterable[tuple[str, str]]) -> Suppressions:
    """Return what silences some hosts and symptoms."""
    return _suppressed(pairs, Suppression(Fact.SILENCED, "a silence"))


def muted(pairs: Iterable[tuple[str, str]]) -> Suppressions:
    """Return what mutes some hosts and symptoms for the time of a window."""
    return _suppressed(pairs, Suppression(Fact.MUTED, "a mute window"))


def _suppressed(pairs: Iterable[tuple[str, str]], suppression: Suppression) -> Suppressions:
    covered = set(pairs)
    return lambda host, symptom: suppression if (host, symptom) in covered else None
