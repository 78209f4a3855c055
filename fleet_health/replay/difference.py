"""What two replays of the same stretch of time differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fleet_health.replay.timeline import Episode

_FOREVER = 1 << 63


class Change(NamedTuple):
    """An incident that both have, but not alike: at another time, in several pieces, notified more often or less.

    Attributes:
        old: As the old one has it, in order of time.
        new: As the new one has it, likewise.

    """

    old: tuple[Episode, ...]
    new: tuple[Episode, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, each by opening, host and symptom.

    Attributes:
        added: The new one's episodes at no time of which the old one has one of the same host and symptom.
        gone: The same the other way round.
        changed: What both have, but not alike.

    """

    added: tuple[Episode, ...]
    gone: tuple[Episode, ...]
    changed: tuple[Change, ...]


def difference(old: Iterable[Episode], new: Iterable[Episode]) -> Difference:
    """Compare the episodes of two replays."""
    both = sorted(_overlapping(old, new), key=lambda one: min(map(_order, one.old + one.new)))
    return Difference(
        added=tuple(episode for one in both if not one.old for episode in one.new),
        gone=tuple(episode for one in both if not one.new for episode in one.old),
        changed=tuple(one for one in both if one.old and one.new and _looks(one.old) != _looks(one.new)),
    )


def _overlapping(old: Iterable[Episode], new: Iterable[Episode]) -> Iterator[Change]:
    """Put together what overlaps, of one host and symptom.

    One episode may meet several of the other side, and one of these another again: all of them are one fault, or the
    reader would have to find out that three lines are about the same.
    """
    sides = [(episode, False) for episode in old] + [(episode, True) for episode in new]
    together: list[tuple[Episode, bool]] = []
    pair, until = ("", ""), 0
    for episode, is_new in sorted(sides, key=lambda one: (one[0].host, one[0].symptom, one[0].opened_at)):
        if together and ((episode.host, episode.symptom) != pair or episode.opened_at >= until):
            yield _parted(together)
            together = []
        # At its end it is over; and what has none stands beyond the last tick.
        end = _FOREVER if episode.ended_at is None else episode.ended_at
        until = max(until, end) if together else end
        pair = episode.host, episode.symptom
        together.append((episode, is_new))
    if together:
        yield _parted(together)


def _parted(together: list[tuple[Episode, bool]]) -> Change:
    return Change(
        tuple(episode for episode, is_new in together if not is_new),
        tuple(episode for episode, is_new in together if is_new),
    )


def _order(episode: Episode) -> tuple[int, str, str]:
    return episode.opened_at, episode.host, episode.symptom


def _looks(episodes: Iterable[Episode]) -> list[tuple[int, int | None, int]]:
    """Return what is compared. Not the details: they name limits, and would differ wherever one was changed."""
    return [(episode.opened_at, episode.ended_at, episode.alerts) for episode in episodes]
