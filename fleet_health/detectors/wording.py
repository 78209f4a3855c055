"""Words that several detectors use in their findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.absence import absence_us, pauses_of
from fleet_health.model.instant import describe, isoformat
from fleet_health.model.pauses import latest_before, passed_us

if TYPE_CHECKING:
    from collections.abc import Collection

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.window import HostWindow

_HOSTS_NAMED = 10


def in_steps(window: HostWindow | None) -> str:
    """Return words to append to figures that are counted in steps, and so not exact; empty if they are exact."""
    if window is None or not window.step_us:
        return ""
    return f" (so many that they are counted in steps of {describe(window.step_us)})"


def how_long_ago(fleet: Fleet, host: str, last_at: Instant, now: Instant) -> str:
    """Return how long ago a host's last sign was, and how much of that time counts.

    For example `3 h 2 min ago, of which 2 min count: the receiver started at 2026-11-23T18:53:00+00:00`.
    """
    age_us, absent_us = passed_us(fleet.skips, last_at, now), absence_us(fleet, host, last_at, now)
    pause = latest_before(pauses_of(fleet, host, now), now)
    words = f"{describe(max(0, age_us))} ago"
    if pause is None or pause.until <= last_at or absent_us >= age_us:
        return words
    return f"{words}, of which {describe(absent_us)} count: {pause.reason} at {isoformat(pause.until)}"


def name_hosts(hosts: Collection[str]) -> str:
    """Name hosts in their order, the first ten of them."""
    named = ", ".join(sorted(hosts)[:_HOSTS_NAMED])
    return f"{named} and {len(hosts) - _HOSTS_NAMED} more" if len(hosts) > _HOSTS_NAMED else named
