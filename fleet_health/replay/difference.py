"""Compare two replays of the same span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fleet_health.replay.timeline import Episode

_FOREVER = 1 << 63


class Change(NamedTuple):
    """An incident that is in both replays, with other times, another number of episodes, or other notifications.

    Attributes:
        old: Its episodes in the old replay, in order of time.
        new: Its episodes in the new replay, in order of time.

    """

    old: tuple[Episode, ...]
    new: tuple[Episode, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences between two replays, each list in order of opening, host and symptom.

    Attributes:
        added: The episodes of the new replay that overlap no episode of the same host and symptom in the old one.
        gone: The episodes of the old replay that overlap no episode of the same host and symptom in the new one.
        changed: The incidents in both replays that differ.

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
    """Group overlapping episodes of one host and symptom.

    An episode may overlap several of the other replay, and these may overlap further ones. Together they are one fault,
    so they are one change.
    """
    sides = [(episode, False) for episode in old] + [(episode, True) for episode in new]
    together: list[tuple[Episode, bool]] = []
    pair, until = ("", ""), 0
    for episode, is_new in sorted(sides, key=lambda one: (one[0].host, one[0].symptom, one[0].opened_at)):
        if together and ((episode.host, episode.symptom) != pair or episode.opened_at >= until):
            yield _parted(together)
            together = []
        # An episode excludes its end; one without an end lasts beyond the last tick.
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
    """Return the values to compare. Details are left out, because they differ wherever a limit was changed."""
    return [(episode.opened_at, episode.ended_at, episode.alerts) for episode in episodes]
