"""When the hosts of a fleet could upload, and so for how long one has been absent. What a pause is: module `pauses`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from fleet_health.model import pauses
from fleet_health.model.instant import SECOND_US
from fleet_health.model.pauses import MACHINE_STARTED, RECEIVER_STOPPED, Pause, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

# For how long a receiver may still write while it stops; a later upload contradicts the stop.
_STOPPING_US = 60 * SECOND_US


def absence_us(fleet: Fleet, host: str, last_at: Instant, now: Instant) -> int:
    """Return how long a host has been absent since its last sign, in microseconds. See `pauses.absence_us`."""
    found = pauses_of(fleet, host, now)
    if not found:
        return pauses.passed_us(fleet.skips, last_at, now)
    return pauses.absence_us(found, fleet.skips, last_at, now)


def pauses_of(fleet: Fleet, host: str, now: Instant) -> tuple[Pause, ...]:
    """Return the pauses of a host, in order; of `EVERY_HOST` those of all hosts."""
    view = _receiver_view(fleet, host)
    windows = _windows_of(view, host)
    return view.once(
        ("pauses", windows, now), lambda: merged([*_past_pauses(view, windows, now), *_present_stop(view, now)])
    )


def outages(fleet: Fleet, now: Instant) -> list[Pause]:
    """Return when no host could upload, in any order: the pauses of all hosts, without mute windows."""
    return [*_past_pauses(fleet, (), now), *_present_stop(fleet, now)]


def counted_us(fleet: Fleet, host: str, since: Instant, now: Instant) -> int:
    """Return the time between two instants in which a host could have uploaded, as a lookback counts it.

    Only pauses count that stay known for a whole lookback: otherwise a lost host would come back when an event of the
    journal is forgotten.
    """
    view = _receiver_view(fleet, host)
    windows = _windows_of(view, host)

    def make() -> tuple[Pause, ...]:
        present = _stop_until(view, now, view.newest_accepted_at)
        return merged(one for one in (*_past_pauses(view, windows, now), *present) if one.is_known)

    return pauses.counted_us(view.once(("known pauses", windows, now), make), view.skips, since, now)


def _receiver_view(fleet: Fleet, host: str) -> Fleet:
    """Return the part of the receiver that a host uploads to: only its stops concern the host."""
    return fleet.of(fleet.receiver_of(host)) if fleet.receivers else fleet


def _windows_of(fleet: Fleet, host: str) -> tuple[int, ...]:
    """Return the numbers of the mute windows that cover a host."""
    if not fleet.mute_windows:
        return ()
    return tuple(number for number, window in enumerate(fleet.mute_windows) if window.is_about(host))


def _past_pauses(fleet: Fleet, windows: Iterable[int], now: Instant) -> Iterator[Pause]:
    """Yield the mute windows with these numbers, the shutdowns, and the past stops of a single receiver."""
    mutes = merged(
        pause for number in windows for pause in fleet.mute_windows[number].pauses(now - pauses.MUTES_BACK_US, now)
    )
    yield from (one for one in mutes if one.until - one.since < pauses.LONGEST_MUTE_US)
    yield from (Pause(since, until, MACHINE_STARTED) for since, until in fleet.shutdowns)
    if not fleet.receivers:
        for stop in fleet.traffic.unit_history.pauses(fleet.traffic.latest_before):
            yield _uncontradicted(fleet, stop)


def _uncontradicted(fleet: Fleet, stop: Pause) -> Pause:
    """Return a stop without the part in which a host uploaded: the receiver had been started in another way."""
    since = stop.since + _STOPPING_US
    if since >= stop.until or not stop.is_known:
        return stop
    instants = fleet.once("upload instants", lambda: _upload_instants(fleet))
    place = bisect_left(instants, stop.until) - 1
    if place < 0 or instants[place] <= since:
        return stop
    return replace(stop, since=instants[place], is_known=False)


def _upload_instants(fleet: Fleet) -> list[Instant]:
    """Return the instants of all known uploads, in order.

    The last upload of each host is not enough: a stop that it contradicted would count once the host uploads again.
    """
    tables = (fleet.uploads, fleet.traffic.accepted)
    return sorted(at for table in tables for at in table.instants())


def _present_stop(fleet: Fleet, now: Instant) -> Iterator[Pause]:
    """Yield the time since the unit stopped, if the journal shows everything since: else its start may be missing."""
    unit = fleet.traffic.unit
    if unit is not None and fleet.is_whole("journal", unit.at, now):
        yield from _stop_until(fleet, now, fleet.receiver_sign_at)


def _stop_until(fleet: Fleet, now: Instant, newest_sign_at: Callable[[], Instant | None]) -> Iterator[Pause]:
    """Yield the time since the unit stopped; nothing if it runs, or a sign of the receiver contradicts it."""
    unit = fleet.traffic.unit
    if unit is None or unit.is_running or unit.at >= now or not fleet.is_unit_watched or fleet.receivers:
        return
    since = fleet.traffic.unit_history.stopped_at() or unit.at
    if (sign_at := newest_sign_at()) is None or sign_at - since <= _STOPPING_US:
        yield Pause(since, now, RECEIVER_STOPPED)
