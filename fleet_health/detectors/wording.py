"""Words that several detectors use in what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import describe

if TYPE_CHECKING:
    from collections.abc import Collection

    from fleet_health.model.window import HostWindow

_HOSTS_NAMED = 10


def in_steps(window: HostWindow | None) -> str:
    """Return words to follow on figures that are counted in steps, and so not exact; nothing if they are exact."""
    if window is None or not window.step_us:
        return ""
    return f" (so many that they are counted in steps of {describe(window.step_us)})"


def name_hosts(hosts: Collection[str]) -> str:
    """Name hosts in their order, the first ten of them."""
    named = ", ".join(sorted(hosts)[:_HOSTS_NAMED])
    return f"{named} and {len(hosts) - _HOSTS_NAMED} more" if len(hosts) > _HOSTS_NAMED else named
