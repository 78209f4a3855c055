"""Which hosts a fleet forgets: those that have not uploaded for a whole lookback in which they could have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.absence import counted_us, outages
from fleet_health.model.fleet import Fleet, Tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.cadence import Cadence
    from fleet_health.model.instant import Instant


def evict(fleet: Fleet, uploads_before: Instant, traffic_before: Instant, now: Instant) -> dict[str, Instant]:
    """Forget responses before one instant, and hosts whose last upload was before another.

    Time in which a host could not upload does not count. As long as either source shows a late enough upload of a host,
    neither forgets the host.

    Returns:
        Each forgotten host -> its last upload.

    """
    for traffic in fleet.every_traffic():
        traffic.evict(traffic_before)
    for name in fleet.receivers:
        _evict_hosts(fleet.of(name), uploads_before, now)
    gone = _evict_hosts(fleet, uploads_before, now)
    if fleet.cadence is not None:
        _update_rhythms(fleet, fleet.cadence, now)
    return gone


def _evict_hosts(view: Fleet, before: Instant, now: Instant) -> dict[str, Instant]:
    def is_kept(host: str, at: Instant) -> bool:
        at = view.accepted_at(host) or at
        return at >= before or counted_us(view, host, at, now) <= now - before

    tables = (view.uploads, view.traffic.accepted)
    # Decided for both tables before either forgets.
    going = {host for table in tables for host, at in table.items() if at < before and not is_kept(host, at)}
    gone: dict[str, Instant] = {}
    for table in tables:
        for host, at in table.evict(before, lambda host, _: host not in going).items():
            gone[host] = max(at, gone.get(host, at))
    return gone


def _update_rhythms(fleet: Fleet, cadence: Cadence, now: Instant) -> None:
    """Record when no host could upload, and forget rhythms that no limit depends on any more."""
    cadence.note_outages(outages(fleet, now))
    known = (fleet.uploads.last_at, fleet.traffic.accepted.last_at)
    cadence.prune(lambda host: any(last_at(host) is not None for last_at in known), now)
    if not cadence.is_settled and fleet.watched_us is not None:
        _forget_unwatched(fleet, fleet.watched_us, now)
    cadence.is_settled = True


def _forget_unwatched(fleet: Fleet, watched_us: Callable[[Fleet, str], int], now: Instant) -> None:
    """Forget the hosts that are not watched by their own limit: nothing has watched them before."""
    still = fleet.standing_still()
    gone = {
        host
        for host in fleet.uploaders()
        if (at := fleet.accepted_at(host)) is not None and counted_us(still, host, at, now) > watched_us(still, host)
    }
    for tables in (Tables(fleet.uploads, fleet.traffic), *fleet.receivers.values()):
        tables.uploads.drop(gone)
        tables.traffic.accepted.drop(gone)
