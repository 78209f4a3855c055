"""What the verdicts of a replay are worth, held against the truth of a simulated world."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from fleet_health.detectors import degraded, silent
from tests.simulation.rhythms import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.replay.timeline import Episode
    from tests.simulation.causes import Cause
    from tests.simulation.world import World

TICK = 5 * MINUTE
# How long after the end of a cause an incident may still open because of it: windows reach back half an hour, and what
# a host could not upload it must have had the time to upload.
_TAIL = 70 * MINUTE
# Fewer refusals than this are no fault, but a bad upload.
_FEW = 3
_REFUSED, _UNSTAMPED = "it tries, and is refused", "no code stamp"


class Worth(StrEnum):
    """What an incident is worth to who is notified of it."""

    RIGHT = "right"
    COLLATERAL = "collateral"
    MISATTRIBUTED = "misattributed"
    FALSE = "false"


@dataclass(slots=True)
class Caught:
    """What became of a cause.

    Attributes:
        cause: The cause.
        has_trace: Whether it can be told from what happens when nothing is wrong.
        named_at: When the first incident that names it opened; None if none did.
        is_noticed: Whether at least something that follows from it was an incident.
        believed_well_us: For how long of it nothing of that stood.
        false_ends: How many incidents that name it ended while it lasted, and while no other one stood that names it:
            if a host uploads once, its silence is over, and who reads that it is degraded is not misled.

    """

    cause: Cause
    has_trace: bool = True
    named_at: int | None = None
    is_noticed: bool = False
    believed_well_us: int = 0
    false_ends: int = 0

    @property
    def delay_ticks(self) -> float | None:
        """After how many ticks it was named."""
        return None if self.named_at is None else max(0.0, (self.named_at - self.cause.span.begin) / TICK)


@dataclass(slots=True)
class Score:
    """What all verdicts on a world are worth.

    Attributes:
        worth: (worth, symptom, kind of the host's rhythm) -> how many incidents.
        caught: What became of each cause.
        ends: How many incidents that were notified ended.
        news: How many of the right ones name no fault, but what nobody had said: a host was taken out, or changed.
        wrong: The incidents that are false or misattributed.

    """

    worth: Counter[tuple[Worth, str, str]] = field(default_factory=Counter)
    caught: list[Caught] = field(default_factory=list)
    ends: int = 0
    news: int = 0
    wrong: list[tuple[Worth, Episode]] = field(default_factory=list)

    def count(self, worth: Worth) -> int:
        """Count the incidents of a worth."""
        return sum(count for (one, _, _), count in self.worth.items() if one == worth)

    @property
    def precision(self) -> float:
        """The share of incidents that are right."""
        total = self.worth.total()
        return self.count(Worth.RIGHT) / total if total else 1.0

    @property
    def cause_precision(self) -> float:
        """The share of incidents with a cause, be it that they only follow from it."""
        total = self.worth.total()
        return (self.count(Worth.RIGHT) + self.count(Worth.COLLATERAL)) / total if total else 1.0

    @property
    def recall(self) -> float:
        """The share of causes that an incident names, of those that leave a trace."""
        wanted = [one for one in self.caught if one.cause.is_to_be_found and one.has_trace]
        return sum(one.named_at is not None for one in wanted) / len(wanted) if wanted else 1.0

    @property
    def median_delay_ticks(self) -> float:
        """The median of the ticks from the begin of a cause to the first incident that names it."""
        delays = [one.delay_ticks for one in self.caught if one.delay_ticks is not None]
        return median(delays) if delays else 0.0

    @property
    def false_ends(self) -> int:
        """How many incidents that name a cause ended while it lasted, and nothing else said so."""
        return sum(one.false_ends for one in self.caught)

    @property
    def believed_well(self) -> float:
        """The share of the time of all causes in which nothing of them stood."""
        total = sum(_length(one.cause) for one in self.caught)
        return sum(one.believed_well_us for one in self.caught) / total if total else 0.0


def score(world: World, episodes: Sequence[Episode]) -> Score:
    """Hold the incidents of which somebody was notified against the truth."""
    result = Score()
    notified = [one for one in episodes if one.alerts]
    known: set[Cause] = set()
    for episode in notified:
        worth = _worth(world, episode, known)
        result.worth[worth, episode.symptom, world.kind_of(episode.host)] += 1
        result.ends += episode.ended_at is not None
        if worth in {Worth.FALSE, Worth.MISATTRIBUTED}:
            result.wrong.append((worth, episode))
    result.news = len(known)
    result.caught = [_caught(world, cause, notified) for cause in world.causes]
    return result


def _worth(world: World, episode: Episode, known: set[Cause]) -> Worth:
    """Return what an incident is worth; of what is news only once, what an earlier one has named is known."""
    pair = (episode.host, episode.symptom)
    possible = [cause for cause in world.causes if _is_within(world, cause, episode)]
    named = {cause for cause in possible if _names(cause, episode)}
    news = {cause for cause in named if cause.is_news_once}
    if named - news or news - known:
        known |= news
        return Worth.RIGHT
    if named:
        return Worth.FALSE
    if any(cause.explains(*pair) for cause in possible):
        return Worth.COLLATERAL
    return Worth.MISATTRIBUTED if any(cause.touches(episode.host) for cause in possible) else Worth.FALSE


def _is_within(world: World, cause: Cause, episode: Episode) -> bool:
    """Return whether an incident may be due to a cause.

    A host that uploads once a day is missed after its end, too, if it would have uploaded meanwhile.
    """
    end = cause.span.end
    if episode.host in cause.hosts and world.is_due(episode.host, cause.span):
        end = max(end, world.upload_after(episode.host, cause.span.end))
    return cause.span.begin <= episode.opened_at <= end + _TAIL


def _names(cause: Cause, episode: Episode) -> bool:
    """Return whether an incident names a cause: that a silent host is refused, or why, its alert says, too."""
    if cause.names(episode.host, episode.symptom):
        return True
    if not cause.is_refusal or episode.host not in cause.hosts:
        return False
    is_refused = episode.symptom == silent.SYMPTOM and _REFUSED in episode.detail
    is_unstamped = episode.symptom == degraded.SYMPTOM and _UNSTAMPED in episode.detail
    return is_refused or is_unstamped


def has_trace(world: World, cause: Cause) -> bool:
    """Return whether a cause can be told from what happens when nothing is wrong.

    A host that is away must have been away for longer than ever at that time of the day when nothing was wrong; of
    refusals there must be a few. What a receiver does leaves a trace.
    """
    if len(cause.hosts) > 1:
        return True
    (host,) = cause.hosts
    if refused := world.refused(host, cause.span):
        return refused >= _FEW
    healthy = next(one.attempts for one in world.hosts if one.name == host)
    usual = [0] * 24
    for begin, end in pairwise(healthy):
        usual[begin // HOUR % 24] = max(usual[begin // HOUR % 24], end - begin)
    gaps = pairwise([*world.accepted(host), world.span.end])
    return any(
        end - begin > usual[begin // HOUR % 24]
        for begin, end in gaps
        if cause.span.begin <= end and begin <= cause.span.end
    )


def _caught(world: World, cause: Cause, episodes: Iterable[Episode]) -> Caught:
    result, stood, named = Caught(cause, has_trace(world, cause)), list[tuple[int, int]](), list[tuple[int, int]]()
    for one in sorted(episodes, key=lambda one: one.opened_at):
        if not _is_within(world, cause, one):
            continue
        is_named, pair = _names(cause, one), (one.host, one.symptom)
        if not is_named and not cause.explains(*pair):
            continue
        result.is_noticed = True
        ended_at = cause.span.end if one.ended_at is None else one.ended_at
        stood.append((one.opened_at, min(ended_at, cause.span.begin + _length(cause))))
        if is_named:
            result.named_at = one.opened_at if result.named_at is None else result.named_at
            named.append((one.opened_at, ended_at))
    ends = [ended_at for _, ended_at in named if ended_at < cause.span.end - TICK]
    result.false_ends = sum(not any(begin <= at < end for begin, end in named) for at in ends)
    result.believed_well_us = _length(cause) - _covered(stood)
    return result


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    covered, reached = 0, 0
    for begin, end in sorted(spans):
        covered += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


def _length(cause: Cause) -> int:
    # Who was taken out of the fleet stays away; that it is said once is enough, and soon.
    return min(cause.span.end - cause.span.begin, 24 * HOUR)
