"""Which limits would have suited the hosts of the past better. Pure.

A host whose usual intervals are longer than its limit is alerted though nothing is wrong. What is suggested for it is
the schedule that it keeps to, if that is one by the day or the week; else a limit as long as one that is learned would
have been: see `model.cadence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.model.cadence import ENOUGH_US, limit_by, usual_interval_us
from fleet_health.model.instant import HOUR_US
from fleet_health.replay.kept_schedule import kept_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.model.cadence import Cadence
    from fleet_health.replay.timeline import Episode

_MINUTE_US, _HALF_A_DAY_US = HOUR_US // 60, 12 * HOUR_US
# A host with this many short intervals for each long one has hours in which it uploads all the time.
_SHORT_FOR_LONG = 10


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What would suit a host.

    Attributes:
        host: The host.
        key: The setting.
        value: Its value, as it is written.
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
    """What a suggestion would have changed.

    Attributes:
        before: How many incidents of silence the host had by the settings in force, of those that were notified.
        after: How many it would have had.
        later: By how much each of those that remain would have opened later, in microseconds.

    """

    before: int
    after: int
    later: tuple[int, ...]


def suggestions(cadence: Cadence, hosts: Iterable[str], limits_of: Callable[[str], SilentLimits]) -> list[Suggestion]:
    """Return what would suit those of some hosts whose limit does not fit, in the order of their names.

    Args:
        cadence: Their rhythms.
        hosts: The hosts.
        limits_of: Returns the limits in force for a host. A limit that is learned, or a schedule, fits.

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
        # A fixed limit as long as a night hides every fault of the day, and none may be longer than the lookback.
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
    """Return those of some hosts with a fixed limit that are known for too short a time to suggest another one."""
    return [
        host
        for host in hosts
        if not (limits := limits_of(host)).is_learned
        and limits.expected is None
        and ((rhythm := cadence.rhythm(host)) is None or rhythm.known_us < ENOUGH_US)
    ]


def backtest(host: str, before: Sequence[Episode], after: Sequence[Episode]) -> Backtest:
    """Compare what two replays of the same stretch of time found of the silence of a host."""
    old, new = (
        [one for one in episodes if (one.host, one.symptom) == (host, silent.SYMPTOM) and one.alerts]
        for episodes in (before, after)
    )
    later = [max(0, one.opened_at - earlier.opened_at) for one in new if (earlier := _same(one, old)) is not None]
    return Backtest(len(old), len(new), tuple(later))


def _same(one: Episode, others: Iterable[Episode]) -> Episode | None:
    """Return the incident that was open when another one opened; None if none was."""
    return next(
        (
            other
            for other in others
            if other.opened_at <= one.opened_at and (other.ended_at is None or one.opened_at <= other.ended_at)
        ),
        None,
    )


def _written(limit_us: int) -> str:
    """Write a limit that is no shorter, in whole quarters of an hour, or hours where it is long."""
    step_us = HOUR_US if limit_us > 6 * HOUR_US else 15 * _MINUTE_US
    minutes = -(-limit_us // step_us) * step_us // _MINUTE_US
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
