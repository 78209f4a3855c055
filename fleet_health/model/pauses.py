"""Time over which no absence is counted: no host could upload, or none was expected to.

The receiver was stopped, its machine was off, or a mute window covered the host. When such a pause ends, the host is
given its full limit again, because it may come back only with its next upload. Time that the clock skipped is not a
pause: it did not pass at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from fleet_health.model.instant import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fleet_health.model.instant import Instant

RECEIVER_STARTED = "the receiver started"
RECEIVER_STOPPED = "the receiver is stopped, as seen"
MACHINE_STARTED = "the machine started or woke"

_DAY_US = 24 * HOUR_US
MUTES_BACK_US, LONGEST_MUTE_US = 8 * _DAY_US, 7 * _DAY_US
"""A week contains every mute window. A window of a whole week never ends, and would hide its hosts for ever."""

_MOST_PAUSED_US = 92 * _DAY_US

Skip: TypeAlias = tuple["Instant", "Instant"]
"""The begin and end of time that the clock skipped, because it was set ahead."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A span of time over which no absence is counted.

    Attributes:
        since: Its begin.
        until: Its end: from here on absence counts from zero.
        reason: The event that ended it, in a few words.
        is_known: Whether its begin is known; if not, it may have had no length.

    """

    since: Instant
    until: Instant
    reason: str
    is_known: bool = True


class RecurringPause(Protocol):
    """Recurring pauses of some hosts, such as a mute window."""

    def is_about(self, host: str) -> bool:
        """Return whether a host, or `EVERY_HOST`, has these pauses."""

    def pauses(self, since: Instant, until: Instant) -> Iterator[Pause]:
        """Return the pauses that overlap the time between two instants, in any order."""


def merged(pauses: Iterable[Pause]) -> tuple[Pause, ...]:
    """Merge pauses that touch each other; return them in order, each with the reason of the one that ended last."""
    disjoint: list[Pause] = []
    for pause in sorted(pauses, key=lambda one: (one.since, one.until)):
        if not disjoint or disjoint[-1].until < pause.since:
            disjoint.append(pause)
        elif disjoint[-1].until < pause.until:
            disjoint[-1] = Pause(disjoint[-1].since, pause.until, pause.reason)
    return tuple(disjoint)


def passed_us(skips: Iterable[Skip], since: Instant, until: Instant) -> int:
    """Return the time that passed between two instants, without what the clock skipped."""
    return until - since - sum(end - begin for begin, end in skips if since <= begin < until)


def counted_us(pauses: Sequence[Pause], skips: Sequence[Skip], since: Instant, now: Instant) -> int:
    """Return the time that passed between two instants, without the pauses in it."""
    return passed_us(skips, since, now) - sum(
        passed_us(skips, max(one.since, since), min(one.until, now))
        for one in pauses
        if one.until > since and one.since < now
    )


def paused_us(pauses: Iterable[Pause], since: Instant, until: Instant) -> int:
    """Return how much of the time between two instants the pauses take."""
    return sum(max(0, min(one.until, until) - max(one.since, since)) for one in pauses)


def absence_us(pauses: Sequence[Pause], skips: Sequence[Skip], last_at: Instant, now: Instant) -> int:
    """Return how long a host has been absent since its last sign; negative if that is in the future.

    It is the longest time without a pause since then: a pause gives the host its full limit again, but does not bring
    back a host that was absent before it. Recurring pauses must not hide a dead host for ever, so it is at least half
    of the time in which the host could upload.

    Args:
        pauses: The pauses, as `merged` returns them.
        skips: What the clock skipped.
        last_at: The last sign.
        now: The present.

    """
    begin, longest = last_at, 0
    for pause in pauses:
        if pause.until > begin and pause.since < now:
            longest = max(longest, passed_us(skips, begin, pause.since))
            begin = min(pause.until, now)
    rest = passed_us(skips, begin, now)
    return rest if begin == last_at else max(longest, rest, counted_us(pauses, skips, last_at, now) // 2)


def begin_of(at: Instant, lookback_us: int, pauses_since: Callable[[Instant], Iterable[Pause]]) -> Instant:
    """Return from when on uploads must be known for a lookback from an instant; pauses do not count for it.

    Args:
        at: The instant.
        lookback_us: How far to look back, in microseconds.
        pauses_since: Returns the pauses of all hosts that end after an instant.

    Returns:
        The instant; at most 92 days before the begin of the lookback.

    """
    begin, before = at - lookback_us, at
    while begin < before:
        before = begin
        pauses = merged(pauses_since(begin))
        begin = at - lookback_us - paused_us(pauses, begin, at)
        # A pause that ends exactly here counts with its begin.
        begin = min([begin, *(one.since for one in pauses if one.since <= begin <= one.until)])
        if begin < at - lookback_us - _MOST_PAUSED_US:
            return at - lookback_us - _MOST_PAUSED_US
    return begin


def latest_before(pauses: Sequence[Pause], now: Instant) -> Pause | None:
    """Return the latest pause, which may not have ended; None if there was none."""
    return max((one for one in pauses if one.since < now), key=lambda one: one.until, default=None)
