"""Compare the limits of hosts with their past, and suggest limits that would have suited them better. Pure.

If the usual intervals of a host are longer than its limit, it causes alerts although it is well. The suggestion is the
daily or weekly schedule of its uploads, or else a limit like a learned one; see `model.learned_limit`. If no interval
was longer, this holds only for the observed time: a few hours contain no night, and a few days no weekend.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.model.instant import HOUR_US
from fleet_health.model.learned_limit import ENOUGH_US, limit_by, usual_interval_us
from fleet_health.model.rhythm import BIN_US
from fleet_health.replay.kept_schedule import kept_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.model.cadence import Cadence
    from fleet_health.model.intervals import Interval
    from fleet_health.model.rhythm import Rhythm
    from fleet_health.replay.timeline import Episode

_MINUTE_US, _HALF_A_DAY_US = HOUR_US // 60, 12 * HOUR_US
WEEK_US = 7 * 24 * HOUR_US
"""The observed time that contains all nights and a weekend, in microseconds."""
# A host with so many short intervals for each long one uploads continuously at some hours.
_SHORT_FOR_LONG = 10


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A setting that would suit a host.

    Attributes:
        host: The host.
        key: The key of the setting.
        value: Its value, as written in a configuration.
        usual_us: The longest usual interval between its uploads, in microseconds.
        intervals: The number of its intervals that were longer than its limit.

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
        before: The number of notified incidents of silence with the settings in force.
        after: The number of such incidents with the suggestion.
        later: The delay of the opening of each remaining incident, in microseconds.

    """

    before: int
    after: int
    later: tuple[int, ...]


class Fit(StrEnum):
    """How the limit of a host compares with its observed intervals."""

    TOO_NEW = "too_new"
    """The host is known for less than half a day, and no interval was longer than its limit."""
    LONGER = "longer"
    """Its usual intervals are longer than its limit, so another limit is suggested."""
    FITS_SO_FAR = "fits_so_far"
    """No usual interval is longer, but less than a week was observed."""
    FITS = "fits"
    """No usual interval is longer, and at least a week was observed."""
    BY_RHYTHM = "by_rhythm"
    """Its limit is learned, or it has a schedule, so there is no suggestion."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of the limit of a host with its observed intervals.

    Attributes:
        host: The host.
        fit: The result.
        seen_us: From its oldest upload of the last four weeks to its newest one, in microseconds.
        longest_gap_us: Its longest interval in that time, less the time in which no host could upload, in microseconds.
        suggestion: The suggestion, if its usual intervals are longer than its limit; else None.

    """

    host: str
    fit: Fit
    seen_us: int
    longest_gap_us: int
    suggestion: Suggestion | None


def compared(cadence: Cadence, hosts: Iterable[str], limits_of: Callable[[str], SilentLimits]) -> list[Comparison]:
    """Return a comparison for each host, in order of names.

    Args:
        cadence: The rhythms of the hosts.
        hosts: The hosts. Hosts without a known rhythm are left out.
        limits_of: Returns the limits in force for a host.

    """
    outages, found = cadence.outages(), list[Comparison]()
    for host in sorted(hosts):
        rhythm = cadence.rhythm(host)
        if rhythm is None:
            continue
        intervals = cadence.intervals_of(host, outages)
        # Intervals of a single bin are not among them.
        longest = max((one.length for one in intervals), default=min(1, rhythm.bits.bit_length() - 1))
        fit, suggestion = _fit(host, rhythm, intervals, limits_of(host))
        found.append(Comparison(host, fit, rhythm.known_us, longest * BIN_US, suggestion))
    return found


def _fit(
    host: str, rhythm: Rhythm, intervals: Iterable[Interval], limits: SilentLimits
) -> tuple[Fit, Suggestion | None]:
    """Return how the limit of a host compares with its intervals, and the suggestion."""
    if limits.is_learned or limits.expected is not None:
        return Fit.BY_RHYTHM, None
    longer = [one for one in intervals if one.length * BIN_US > limits.after_us]
    suggestion = _suggested(host, rhythm, longer, limits)
    if suggestion is not None:
        return Fit.LONGER, suggestion
    if rhythm.known_us < ENOUGH_US:
        return Fit.TOO_NEW, None
    return (Fit.FITS if rhythm.known_us >= WEEK_US else Fit.FITS_SO_FAR), None


def _suggested(host: str, rhythm: Rhythm, intervals: Sequence[Interval], limits: SilentLimits) -> Suggestion | None:
    """Return the suggestion for a host, given the intervals longer than its limit; None if none of them is usual."""
    usual_us = usual_interval_us(rhythm, intervals)
    if usual_us is None:
        return None
    limit_us = limit_by(usual_us, intervals)
    # A fixed limit of a night would hide faults during the day, and no limit may exceed the lookback.
    is_mixed = len(intervals) * _SHORT_FOR_LONG < rhythm.bits.bit_count() - 1
    schedule = kept_schedule(rhythm) if usual_us > _HALF_A_DAY_US else None
    if schedule is not None:
        key, value = "detectors.silent.expected", schedule
    elif is_mixed or limit_us + HOUR_US > limits.lookback_us:
        key, value = "detectors.silent.cadence", "learned"
    else:
        key, value = "detectors.silent.after", _written(limit_us)
    return Suggestion(host, key, value, usual_us, len(intervals))


def backtest(host: str, before: Sequence[Episode], after: Sequence[Episode]) -> Backtest:
    """Return the effect of a suggestion, from the episodes of a host in two replays of the same span."""
    old, new = (
        [one for one in episodes if (one.host, one.symptom) == (host, silent.SYMPTOM) and one.alerts]
        for episodes in (before, after)
    )
    later = [max(0, one.opened_at - earlier.opened_at) for one in new if (earlier := _same(one, old)) is not None]
    return Backtest(len(old), len(new), tuple(later))


def _same(one: Episode, others: Iterable[Episode]) -> Episode | None:
    """Return the incident among `others` that was open when `one` opened; None if there was none."""
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
