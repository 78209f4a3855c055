"""A timeline as a picture: a row a host, time from left to right. Needs matplotlib, which only this needs."""

from __future__ import annotations

import argparse
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.domain.detectors.contract import EVERY_HOST
from fleet_health.domain.timeline import KINDS
from fleet_health.errors import FleetHealthError, printable
from fleet_health.sinks.journal import MESSAGE_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleet_health.domain.instant import Instant
    from fleet_health.domain.timeline import Episode, Timeline

_FORMATS = (".svg", ".png")
_ROWS = 80
_NAME_LENGTH = 28

# Colours that the colour-blind can tell apart (Okabe and Ito, 2008).
_OF_KIND = {
    "ships": ("#009e73", "shipped"),
    "client_errors": ("#e69f00", "4xx"),
    "server_errors": ("#d55e00", "5xx"),
    "unstamped": ("#cc79a7", "unstamped"),
}
_PALETTE = (
    *("#56b4e9", "#d55e00", "#cc79a7", "#7f7f7f", "#a6761d", "#0072b2", "#7f3b08", "#000000", "#b8a800", "#5d5d9e"),
    "#999933",
)
_OF_SYMPTOM = dict(zip(MESSAGE_IDS, _PALETTE, strict=True))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PlotError(FleetHealthError):
    """The picture cannot be drawn or written; `str()` says why, and what to do."""


def plot_path(text: str) -> Path:
    """Read an argument that is where to draw to."""
    path = Path(text)
    if path.suffix not in _FORMATS:
        raise argparse.ArgumentTypeError(f"expected a file that ends in {' or '.join(_FORMATS)}, found {text!r}")
    return path


def draw(timeline: Timeline, path: Path) -> None:
    """Draw a timeline as SVG or PNG, by the path's ending.

    Raises:
        PlotError: matplotlib is not installed, or the file cannot be written; nothing is left of it.

    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, which only those have who want it
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise PlotError(
            f"drawing needs {error.name}, which is not installed: pip install 'fleet-health[plot]'"
        ) from None
    hosts, left_out = _chosen(timeline)
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "fleet-health", "text.parse_math": False, "font.size": 9}
    content = io.BytesIO()
    with mpl.rc_context(settings):
        figure = Figure(figsize=(12, 1.9 + 0.24 * len(hosts)), dpi=110, layout="constrained")
        _draw_into(figure, timeline, hosts, left_out)
        # Without a date in it, so that the same past gives the same picture.
        figure.savefig(content, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None)
    _write(path, content.getvalue())


def _chosen(timeline: Timeline) -> tuple[list[str], int]:
    """Give the hosts to draw, those with incidents first, and how many there is no room for."""
    episodes: dict[str, int] = {}
    for episode in timeline.episodes:
        episodes[episode.host] = episodes.get(episode.host, 0) + 1
    hosts = sorted({*timeline.counts, *episodes} - {EVERY_HOST}, key=lambda host: (not episodes.get(host), host))
    fleet = [EVERY_HOST] if EVERY_HOST in episodes else []
    return fleet + hosts[:_ROWS], max(0, len(hosts) - _ROWS)


def _draw_into(figure: Any, timeline: Timeline, hosts: Sequence[str], left_out: int) -> None:
    from matplotlib import dates  # noqa: PLC0415
    from matplotlib.patches import Patch  # noqa: PLC0415

    axes = figure.add_subplot()
    handles: list[Any] = []
    rows = {host: number for number, host in enumerate(hosts)}
    for kind, (colour, label) in _OF_KIND.items():
        if _draw_marks(axes, timeline, rows, kind, colour):
            handles.append(Patch(color=colour, label=label))
    for symptom in dict.fromkeys(episode.symptom for episode in timeline.episodes):
        colour = _OF_SYMPTOM[symptom]
        bars = [one for one in timeline.episodes if one.symptom == symptom and one.host in rows]
        for episode in bars:
            begin, end = _moment(episode.opened_at), _moment(_end(episode, timeline))
            axes.barh(rows[episode.host] + 0.32, end - begin, left=begin, height=0.22, color=colour, linewidth=0)
        handles.append(Patch(color=colour, label=symptom))
    for source, gaps in timeline.gaps.items():
        for gap in gaps:
            begin, end = _moment(max(gap.since, timeline.since)), _moment(min(gap.until, timeline.until))
            axes.axvspan(begin, end, facecolor="none", edgecolor="#999999", hatch="////", linewidth=0.5)
        if gaps:
            handles.append(Patch(facecolor="none", edgecolor="#999999", hatch="////", label=f"{source} not whole"))
    axes.set_xlim(_moment(timeline.since), _moment(timeline.until))
    axes.set_ylim(max(len(hosts), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(hosts)), [_name(host) for host in hosts])
    axes.hlines(
        [number + 0.5 for number in range(len(hosts))],
        0,
        1,
        transform=axes.get_yaxis_transform(),
        color="#e5e5e5",
        linewidth=0.6,
    )
    axes.tick_params(axis="y", length=0)
    ticker: Any = dates  # has no types
    locator = ticker.AutoDateLocator(tz=UTC, minticks=5, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ticker.ConciseDateFormatter(locator, tz=UTC))
    axes.spines[["top", "right", "left"]].set_visible(False)
    more = f"; {left_out} more hosts, with fewer incidents, are not shown" if left_out else ""
    axes.set_title(
        f"{_minute(timeline.since)} to {_minute(timeline.until)} UTC, {len(timeline.episodes)} incidents{more}",
        loc="left",
        fontsize=10,
    )
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), frameon=False)


def _draw_marks(axes: Any, timeline: Timeline, rows: dict[str, int], kind: str, colour: str) -> bool:
    """Draw in each host's row the stretches in which it has something of a kind; say whether there were any."""
    top, height = (-0.34, 0.26) if kind == "ships" else (-0.04, 0.2)
    bin_us = (timeline.until - timeline.since) / timeline.bins
    has_any = False
    for host, row in rows.items():
        counts = timeline.counts.get(host)
        runs = [] if counts is None else list(_runs(counts[KINDS.index(kind)]))
        if runs:
            has_any = True
            moments = [_moment(round(timeline.since + number * bin_us)) for run in runs for number in run]
            stretches = [(begin, end - begin) for begin, end in zip(moments[::2], moments[1::2], strict=True)]
            axes.broken_barh(stretches, (row + top, height), color=colour, linewidth=0)
    return has_any


def _runs(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give the stretches of bins that are not empty, each as its first bin and the first one behind it."""
    begin = None
    for number, count in enumerate([*counts, 0]):
        if count and begin is None:
            begin = number
        elif not count and begin is not None:
            yield begin, number
            begin = None


def _name(host: str) -> str:
    shown = "(all)" if host == EVERY_HOST else printable(host)
    return shown if len(shown) <= _NAME_LENGTH else shown[: _NAME_LENGTH - 1] + "…"


def _end(episode: Episode, timeline: Timeline) -> Instant:
    return timeline.until if episode.ended_at is None else episode.ended_at


def _moment(at: Instant) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _minute(at: Instant) -> str:
    return f"{_moment(at):%Y-%m-%d %H:%M}"


def _write(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise PlotError(f"{path}: {error.strerror}") from error
