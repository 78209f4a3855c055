"""Time over which no absence is counted: no host could upload, or none was expected to.

The receiver was stopped, its machine was off, or a mute window covered the host. A host is given its whole time anew
when such a pause ends: it may come back with its next upload, and not before. Time that the clock skipped is something
else: it did not pass, and the rest of it did.
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
"""A week contains every mute window. A window that lasts for a week has no end, and would hide its hosts for ever."""

_MOST_PAUSED_US = 92 * _DAY_US

Skip: TypeAlias = tuple["Instant", "Instant"]
"""From when to when the clock was set ahead: time that it shows, and that did not pass."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch of time over which no absence is counted.

    Attributes:
        since: Its begin.
        until: Its end: from here on absence counts from zero.
        reason: What ended it, in a few words.
        is_known: Whether it is known when it began; else it may have been no more than its end.

    """

    since: Instant
    until: Instant
    reason: str
    is_known: bool = True


class RecurringPause(Protocol):
    """Pauses of some hosts that come again and again, such as a mute window."""

    def is_about(self, host: str) -> bool:
        """Return whether a host, or `EVERY_HOST`, has these pauses."""

    def pauses(self, since: Instant, until: Instant) -> Iterator[Pause]:
        """Return every pause that has a part of the time between two instants, in any order."""


def merged(pauses: Iterable[Pause]) -> tuple[Pause, ...]:
    """Return the same time as pauses that do not touch each other, in order; of several the last to end is named."""
    disjoint: list[Pause] = []
    for pause in sorted(pauses, key=lambda one: (one.since, one.until)):
        if not disjoint or disjoint[-1].until < pause.since:
            disjoint.append(pause)
        elif disjoint[-1].until < pause.until:
            disjoint[-1] = Pause(disjoint[-1].since, pause.until, pause.reason)
    return tuple(disjoint)


def passed_us(skips: Iterable[Skip], since: Instant, until: Instant) -> int:
    """Return the time that passed between two instants: without what the clock skipped after the first."""
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
    """Return for how long a host has been absent that gave its last sign at an instant; negative if that is to come.

    It is the longest time without a pause since then: a pause gives the host its whole time anew, and yet does not
    bring back a host that was absent already when it began. Pauses that come again and again must not hide a dead host
    for ever, so it is at least half of all the time in which the host could upload.

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
    """Return from when on uploads must be known to look so far back from an instant: pauses count for no lookback.

    Args:
        at: The instant.
        lookback_us: How far to look back, in microseconds.
        pauses_since: Returns the pauses that end after an instant, those that concern any host.

    Returns:
        The instant; no more than 92 days before the lookback begins.

    """
    begin, before = at - lookback_us, at
    while begin < before:
        before = begin
        pauses = merged(pauses_since(begin))
        begin = at - lookback_us - paused_us(pauses, begin, at)
        # All of a pause that ends just here is as good as its end.
        begin = min([begin, *(one.since for one in pauses if one.since <= begin <= one.until)])
        if begin < at - lookback_us - _MOST_PAUSED_US:
            return at - lookback_us - _MOST_PAUSED_US
    return begin


def latest_before(pauses: Sequence[Pause], now: Instant) -> Pause | None:
    """Return the pause that ended last, or lasts; None if there was none."""
    return max((one for one in pauses if one.since < now), key=lambda one: one.until, default=None)
