"""Arrange the rows of the picture of a timeline: the hosts, their order, their traffic and their incidents.

This module knows neither colours nor matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fleet_health.model.coverage import Gap
from fleet_health.model.subject import is_host, named, receiver_of
from fleet_health.replay.timeline import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.replay.timeline import Episode, Timeline

MOST_HOSTS = 80
"""The largest number of hosts in a picture."""

RESPONSES = ("accepted", "client_errors", "unstamped", "server_errors")
"""The kinds of responses, from the bottom of a row up. `client_errors` are refusals of stamped uploads here."""

_MOST_COLUMNS = 1000
_SMALLEST_SHARE = 0.7

Point = tuple[float, float]


class Bar(NamedTuple):
    """An incident within the picture.

    Attributes:
        symptom: Its symptom.
        since: Its begin, at least the begin of the timeline.
        until: Its end, at most the end of the timeline.
        is_open: Whether it was open at the end of the timeline.
        lane: Its lane among overlapping incidents of the row, from 0.

    """

    symptom: str
    since: Instant
    until: Instant
    is_open: bool
    lane: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        name: The host or symptom of the row.
        bars: Its incidents.
        lanes: The largest number of incidents that overlap.

    """

    name: str
    bars: Sequence[Bar] = ()
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a picture.

    Attributes:
        hosts: The rows of hosts, with incidents first, then by name.
        band: The rows of symptoms that concern no single host.
        gaps: Source -> its gaps within the timeline, in order, for sources with gaps.
        left_out: The number of hosts that are not shown, which are in the least trouble.

    """

    hosts: Sequence[Row]
    band: Sequence[Row]
    gaps: dict[str, list[Gap]]
    left_out: int


def arrange(timeline: Timeline) -> Rows:
    """Return the rows: choose the hosts, order them, and lay out their incidents."""
    by_host: dict[str, list[Episode]] = {host: [] for host in timeline.counts}
    for episode in timeline.episodes:
        by_host.setdefault(episode.host, []).append(episode)
    general: dict[str, list[Episode]] = {}
    for subject in [one for one in by_host if not is_host(one)]:
        for episode in by_host.pop(subject):
            general.setdefault(named(episode.symptom, receiver_of(subject)), []).append(episode)
    shown = sorted(by_host, key=lambda host: (*_wellness(timeline, host, by_host[host]), host))[:MOST_HOSTS]
    shown.sort(key=lambda host: (not by_host[host], host))
    return Rows(
        hosts=[_row(timeline, host, by_host[host]) for host in shown],
        band=[_row(timeline, symptom, general[symptom]) for symptom in sorted(general)],
        gaps={source: gaps for source in sorted(timeline.gaps) if (gaps := _gaps_within(timeline, source))},
        left_out=len(by_host) - len(shown),
    )


def uploads_of(timeline: Timeline, host: str) -> list[list[Point]]:
    """Return the uploads of a host as shapes within a row, with x in columns and y from 0 to 1."""
    return _outline([(0.0, 1.0) if count else None for count in _columns(timeline, host)[KINDS.index("uploads")]])


def responses_of(timeline: Timeline, host: str) -> dict[str, list[list[Point]]]:
    """Return the share of each of `RESPONSES` in the responses to a host, as shapes like those of uploads.

    Small shares are drawn larger, because a single refusal among a thousand uploads would be invisible.
    """
    counts = dict(zip(KINDS, _columns(timeline, host), strict=True))
    stacks: dict[str, list[Point | None]] = {name: [] for name in RESPONSES}
    for column in range(columns_of(timeline)):
        one = {name: counts[name][column] for name in RESPONSES}
        # An upload without a stamp is also counted as a refusal.
        one["client_errors"] = max(0, one["client_errors"] - one["unstamped"])
        total = sum(one.values())
        shares = {name: max(_SMALLEST_SHARE, count / total) for name, count in one.items() if count}
        bottom = 0.0
        for name in RESPONSES:
            if name in shares:
                top = bottom + shares[name] / sum(shares.values())
                stacks[name].append((bottom, top))
                bottom = top
            else:
                stacks[name].append(None)
    return {name: _outline(stack) for name, stack in stacks.items()}


def columns_of(timeline: Timeline) -> int:
    """Return the number of columns of the picture. Bins that are too narrow to see share a column."""
    return -(-timeline.bins // _bins_a_column(timeline))


def column_width(timeline: Timeline) -> float:
    """Return the width of a column in microseconds."""
    return max(1, timeline.until - timeline.since) / timeline.bins * _bins_a_column(timeline)


def _bins_a_column(timeline: Timeline) -> int:
    return -(-timeline.bins // _MOST_COLUMNS)


def _columns(timeline: Timeline, host: str) -> list[list[int]]:
    """Return the counts of a host by column, for each of `KINDS`."""
    width, columns = _bins_a_column(timeline), columns_of(timeline)
    if host not in timeline.counts:  # an expected host that never uploaded has only an incident
        return [[0] * columns for _ in KINDS]
    return [
        [sum(counts[start : start + width]) for start in range(0, len(counts), width)]
        for counts in timeline.counts[host]
    ]


def _wellness(timeline: Timeline, host: str, episodes: Sequence[Episode]) -> tuple[int, int]:
    """Return a sort key that puts hosts in less trouble first, by duration of incidents and number of refusals."""
    troubled_us = sum(bar.until - bar.since + 1 for bar in _row(timeline, host, episodes).bars)
    columns = dict(zip(KINDS, _columns(timeline, host), strict=True))
    return -troubled_us, -sum(columns["client_errors"]) - sum(columns["server_errors"])


def _gaps_within(timeline: Timeline, source: str) -> list[Gap]:
    """Return the gaps within the timeline, with overlapping gaps joined."""
    gaps: list[Gap] = []
    for gap in sorted(timeline.gaps[source], key=lambda gap: (gap.since, gap.until)):
        if not gap.overlaps(timeline.since, timeline.until):
            continue
        since, until, reason = max(gap.since, timeline.since), min(gap.until, timeline.until), gap.reason
        if gaps and gaps[-1].overlaps(since, until):
            before = gaps.pop()
            since, until = before.since, max(before.until, until)
            reason = before.reason if reason in before.reason else f"{before.reason}; {reason}"
        gaps.append(Gap(since, until, reason))
    return gaps


def _row(timeline: Timeline, name: str, episodes: Iterable[Episode]) -> Row:
    """Return a row with its incidents in lanes, so that none covers another."""
    bars: list[Bar] = []
    free_at: list[Instant] = []
    for episode in sorted(episodes, key=lambda episode: (episode.opened_at, episode.symptom)):
        since = max(timeline.since, episode.opened_at)
        until = timeline.until if episode.ended_at is None else min(timeline.until, episode.ended_at)
        if since > until:
            continue
        lane = next((lane for lane, at in enumerate(free_at) if at <= since), len(free_at))
        free_at[lane : lane + 1] = [until]
        bars.append(Bar(episode.symptom, since, until, episode.ended_at is None, lane))
    return Row(name, bars, max(1, len(free_at)))


def _outline(heights: Sequence[Point | None]) -> list[list[Point]]:
    """Return the outline of a strip of columns, one shape for each run of non-empty columns.

    A shape for each column would make the file large and show seams.
    """
    shapes: list[list[Point]] = []
    floor: list[Point] = []
    ceiling: list[Point] = []
    before: Point | None = None
    for column, height in enumerate([*heights, None]):
        if height == before:
            continue
        if before is not None:
            floor.append((column, before[0]))
            ceiling.append((column, before[1]))
        if height is not None:
            floor.append((column, height[0]))
            ceiling.append((column, height[1]))
        else:
            shapes.append(floor + ceiling[::-1])
            floor, ceiling = [], []
        before = height
    return shapes
