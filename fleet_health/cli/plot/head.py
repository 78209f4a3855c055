"""Draw the title and the legends above the picture of a timeline."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fleet_health.cli.plot import style
from fleet_health.cli.plot.style import color_of, cut, drawable, gap_patch
from fleet_health.model.subject import is_host
from fleet_health.parsing.local_time import local, zone_at

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import SubFigure

    from fleet_health.cli.plot.rows import Rows
    from fleet_health.replay.timeline import Timeline

_LONGEST_NAME = 60


def draw_head(figure: SubFigure, height: float, timeline: Timeline, rows: Rows) -> None:
    """Draw the title and two legends, one line each: for the traffic, and for the incidents.

    Args:
        figure: The figure, or the part of one.
        height: Its height in inches.
        timeline: The timeline.
        rows: The rows of the picture.

    """
    from_left = style.MARGIN / style.WIDTH
    figure.text(
        from_left,
        1 - style.MARGIN / height,
        _title(timeline, rows),
        va="top",
        fontsize=style.TITLE_SIZE,
        fontweight="bold",
        color=style.INK,
    )
    traffic: list[Artist] = [Patch(color=color, label=label) for color, label in style.TRAFFIC.values()]
    traffic += [gap_patch(source, (0, 0), 1, 1, f"not seen in the {source}") for source in rows.gaps]
    bars = [bar for row in (*rows.band, *rows.hosts) for bar in row.bars]
    counts = Counter(bar.symptom for bar in bars)
    order = [*style.SYMPTOMS, *sorted(set(counts) - set(style.SYMPTOMS))]
    incidents: list[Artist] = [
        Patch(color=color_of(symptom), label=f"{cut(symptom)} ({counts[symptom]})")
        for symptom in order
        if symptom in counts
    ]
    if any(bar.is_open for bar in bars):
        incidents.append(
            Line2D([], [], color=style.FAINT_INK, marker=">", linestyle="none", label="not over at the end")
        )
    for number, (word, handles) in enumerate((("traffic", traffic), ("incidents", incidents))):
        below_top = style.MARGIN + style.TITLE + (number + 0.5) * style.LEGEND_LINE
        y = 1 - below_top / height
        figure.text(from_left, y, word if handles else "no incidents", va="center", fontsize=style.LEGEND_SIZE)
        if handles:
            figure.legend(
                handles=handles,
                loc="center left",
                bbox_to_anchor=(from_left + 0.75 / style.WIDTH, y),
                ncols=len(handles),
                frameon=False,
                fontsize=style.LEGEND_SIZE,
                handlelength=1.4,
                handletextpad=0.5,
                columnspacing=1.4,
                borderpad=0,
                borderaxespad=0,
            )


def _title(timeline: Timeline, rows: Rows) -> str:
    shown, left_out = len(rows.hosts), rows.left_out
    hosts = f"{shown + left_out} hosts" if shown + left_out != 1 else "1 host"
    troubled = len({episode.host for episode in timeline.episodes if is_host(episode.host)})
    since, until = (local(at)[:16] for at in (timeline.since, timeline.until))
    zones = [zone_at(at) for at in (timeline.since, timeline.until)]
    since = since if zones[0] == zones[1] else f"{since} {zones[0]}"
    title = f"{since} to {until} {zones[1]}: {hosts}, {troubled} with incidents"
    if timeline.name:
        name = drawable(timeline.name)
        title = f"{name if len(name) <= _LONGEST_NAME else f'…{name[1 - _LONGEST_NAME :]}'}: {title}"
    return f"{title}; the {shown} in most trouble are shown, {left_out} are left out" if left_out else title
