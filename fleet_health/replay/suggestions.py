"""Suggests limits that would have suited hosts better in the past. Pure.

If the usual intervals of a host are longer than its limit, it causes alerts although nothing is wrong. The suggestion
is the daily or weekly schedule that it keeps to, or else a limit as long as a learned one: see `model.learned_limit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.model.instant import HOUR_US
from fleet_health.model.learned_limit import ENOUGH_US, limit_by, usual_interval_us
from fleet_health.replay.kept_schedule import kept_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.model.cadence import Cadence
    from fleet_health.replay.timeline import Episode

_MINUTE_US, _HALF_A_DAY_US = HOUR_US // 60, 12 * HOUR_US
# A host with this many short intervals for each long one uploads continuously at some hours.
_SHORT_FOR_LONG = 10


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A setting that would suit a host.

    Attributes:
        host: The host.
        key: The key of the setting.
        value: Its value, as written in a configuration.
        usual_us: The longest usual interval between its uploads, in microseconds.
        intervals: How many of its intervals were longer than its limit.

    """

    host: str
    key: str
    value: str
    usual_us: int
    intervals: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """The effect that a suggestion would have had.

    Attributes:
        before: How many notified incidents of silence the host had with the settings in force.
        after: How many it would have had.
        later: For each remaining incident, how much later it would have opened, in microseconds.

    """

    before: int
    after: int
    later: tuple[int, ...]


def suggestions(cadence: Cadence, hosts: Iterable[str], limits_of: Callable[[str], SilentLimits]) -> list[Suggestion]:
    """Return suggestions for the hosts whose limit does not fit, in order of their names.

    Args:
        cadence: The hosts' rhythms.
        hosts: The hosts.
        limits_of: Returns the limits in force for a host. A learned limit or a schedule always fits.

    """
    outages, found = cadence.outages(), list[Suggestion]()
    for host in sorted(hosts):
        limits, rhythm = limits_of(host), cadence.rhythm(host)
        if rhythm is None or limits.is_learned or limits.expected is not None:
            continue
        intervals = cadence.intervals_of(host, outages, limits.after_us)
        usual_us = usual_interval_us(rhythm, intervals)
        if usual_us is None or usual_us <= limits.after_us:
            continue
        limit_us = limit_by(usual_us)
        # A fixed limit as long as a night would hide all faults of a day, and no limit may be longer than the lookback.
        is_mixed = len(intervals) * _SHORT_FOR_LONG < rhythm.bits.bit_count() - 1
        schedule = kept_schedule(rhythm) if usual_us > _HALF_A_DAY_US else None
        if schedule is not None:
            key, value = "detectors.silent.expected", schedule
        elif is_mixed or limit_us + HOUR_US > limits.lookback_us:
            key, value = "detectors.silent.cadence", "learned"
        else:
            key, value = "detectors.silent.after", _written(limit_us)
        found.append(Suggestion(host, key, value, usual_us, len(intervals)))
    return found


def too_new(cadence: Cadence, hosts: Iterable[str], limits_of: Callable[[str], SilentLimits]) -> list[str]:
    """Return the hosts with a fixed limit that are known for too short a time for a suggestion."""
    return [
        host
        for host in hosts
        if not (limits := limits_of(host)).is_learned
        and limits.expected is None
        and ((rhythm := cadence.rhythm(host)) is None or rhythm.known_us < ENOUGH_US)
    ]


def backtest(host: str, before: Sequence[Episode], after: Sequence[Episode]) -> Backtest:
    """Compare a host's incidents of silence in two replays of the same stretch of time."""
    old, new = (
        [one for one in episodes if (one.host, one.symptom) == (host, silent.SYMPTOM) and one.alerts]
        for episodes in (before, after)
    )
    later = [max(0, one.opened_at - earlier.opened_at) for one in new if (earlier := _same(one, old)) is not None]
    return Backtest(len(old), len(new), tuple(later))


def _same(one: Episode, others: Iterable[Episode]) -> Episode | None:
    """Return the incident that was open when another opened; None if there was none."""
    return next(
        (
            other
            for other in others
            if other.opened_at <= one.opened_at and (other.ended_at is None or one.opened_at <= other.ended_at)
        ),
        None,
    )


def _written(limit_us: int) -> str:
    """Return a limit as text, rounded up to whole quarters of an hour, or to hours if it is long."""
    step_us = HOUR_US if limit_us > 6 * HOUR_US else 15 * _MINUTE_US
    minutes = -(-limit_us // step_us) * step_us // _MINUTE_US
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
