"""Suppressions for tests: silences and mute windows of some hosts and symptoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.lifecycle import Fact
from fleet_health.alerting.silences import Silence
from fleet_health.alerting.suppression import Suppression
from fleet_health.records.silence_file import SilenceFile
from tests.rig.site import now_us

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.suppression import Suppressions
    from tests.rig.site import Site


def silenced(pairs: Iterable[tuple[str, str]]) -> Suppressions:
    """Return what silences some hosts and symptoms."""
    return _suppressed(pairs, Suppression(Fact.SILENCED, "a silence"))


def muted(pairs: Iterable[tuple[str, str]]) -> Suppressions:
    """Return what mutes some hosts and symptoms for the time of a window."""
    return _suppressed(pairs, Suppression(Fact.MUTED, "a mute window"))


def silence(site: Site, host: str, symptom: str | None = None) -> Silence:
    """Silence a host of a site, or one of its symptoms, for an hour."""
    now = now_us()
    one = Silence("quiet1", host, symptom, now, now + 3_600_000_000, "moving it", "root")
    SilenceFile(site.directory / "state").add(one, now)
    return one


def end(site: Site, one: Silence) -> None:
    """End a silence of a site."""
    SilenceFile(site.directory / "state").end(one.id, now_us(), "root")


def _suppressed(pairs: Iterable[tuple[str, str]], suppression: Suppression) -> Suppressions:
    covered = set(pairs)
    return lambda host, symptom, _opened_at: suppression if (host, symptom) in covered else None
