"""Messages about unknown hosts, whose name may be mistyped, or which may be ignored, left out or new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.evaluation import lookback_of
from fleet_health.errors import printable
from fleet_health.model.host_globs import HostGlobs, is_plain
from fleet_health.model.host_name import host_name
from fleet_health.model.near_miss import near_miss
from fleet_health.model.subject import is_host, is_subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.config.schema import Settings
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant


def unknown_warning(glob: str, known: Iterable[str]) -> str:
    """Return a warning that a name or glob matches no known host, with a similar name; empty if it matches one.

    Args:
        glob: The hosts or the receiver of the silence.
        known: The known hosts and receivers.

    """
    names = dict.fromkeys(known)
    globs = HostGlobs((glob,))
    if glob in names or any(map(globs.matches, names)):
        return ""
    is_one = is_plain(glob) or is_subject(glob)  # `*@NAME` is a receiver
    close = near_miss(glob, names) if is_one else None
    hint = "" if close is None else f"; did you mean {close}?"
    what = f"{'host' if is_host(glob) else 'receiver'} {glob} is known" if is_one else f"known host matches {glob}"
    return f"no {what}, so the silence is for hosts that appear later{hint}"


def unknown_error(host: str, fleet: Fleet, settings: Settings, now: Instant, subjects: Iterable[str]) -> str:
    """Return why a host cannot be explained: it is ignored, left out, or unknown.

    Args:
        host: The host name in the request.
        fleet: The fleet.
        settings: The settings in force.
        now: The present.
        subjects: The subjects in addition to the hosts of the fleet.

    """
    if settings.ignored.matches(host):
        return f"host {printable(host)} is ignored: it matches `hosts.ignore`"
    literal = host_name(host)  # the name may contain characters of a glob
    close = literal if fleet.is_seen(literal) else near_miss(host, dict.fromkeys((*fleet.hosts(), *subjects)))
    hint = f"; did you mean {close}?" if close else ""
    if fleet.is_left_out(host, now - lookback_of(settings.detectors()).traffic_us):
        limit = fleet.traffic.stranger_limit
        return (
            f"{printable(host)} is not evaluated: it has never uploaded and is not expected, and only {limit} such"
            f" hosts are counted at a time; if it is yours, name it in `hosts.expected`{hint}"
        )
    return f"no host {printable(host)} is known{hint}"
