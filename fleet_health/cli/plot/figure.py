"""Draw a timeline: a row for each host, time to the right, and incidents as bars below the traffic.

It uses the objects of matplotlib directly, because `pyplot` needs a display and keeps state.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from fleet_health.cli.plot import style
from fleet_health.cli.plot.dates import DAY_US, ticks
from fleet_health.cli.plot.head import draw_head
from fleet_health.cli.plot.rows import arrange, column_width, responses_of, uploads_of
from fleet_health.cli.plot.style import color_of, cut, gap_patch
from fleet_health.model.instant import SECOND_US, describe
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import SubFigure

    from fleet_health.cli.plot.rows import Point, Row
    from fleet_health.model.coverage import Gap
    from fleet_health.model.instant import Instant
    from fleet_health.replay.timeline import Timeline

_Place = tuple[float, float]
"""The upper and lower edge within a row."""

_METADATA = {"svg": {"Creator": "fleet-health", "Date": None}, "png": {"Software": "fleet-health"}}


class _Shapes(NamedTuple):
    """Shapes that are drawn together, each with its corners and its colour."""

    corners: list[list[Point]]
    colors: list[str]

    def add(self, corners: list[Point], color: str) -> None:
        """Add a shape."""
        self.corners.append(corners)
        self.colors.append(color)


def render(timelines: Sequence[Timeline], file_format: str) -> bytes:
    """Return timelines, drawn one below the other, as `svg` or `png`."""
    with mpl.rc_context():
        mpl.rcdefaults()  # the matplotlibrc of the user must not change the picture
        mpl.rcParams["svg.hashsalt"] = "fleet-health"  # without this, the ids in an SVG are random
        mpl.rcParams["svg.fonttype"] = "none"  # text can then be searched and copied
        mpl.rcParams["text.parse_math"] = False  # do not interpret dollar signs
        mpl.rcParams["hatch.linewidth"] = 0.5
        figure = _figure([_Picture(timeline) for timeline in timelines])
        canvas = FigureCanvasSVG(figure) if file_format == "svg" else FigureCanvasAgg(figure)
        content = io.BytesIO()
        canvas.print_figure(content, format=file_format, dpi=style.DPI, metadata=_METADATA[file_format])
    return content.getvalue()


def _figure(pictures: Sequence[_Picture]) -> Figure:
    """Return a figure with pictures one below the other."""
    heights = [picture.height for picture in pictures]
    figure = Figure(figsize=(style.WIDTH, sum(heights)), facecolor="white")
    parts = figure.subfigures(len(pictures), 1, height_ratios=heights, squeeze=False, hspace=0.0)
    for picture, (part,) in zip(pictures, parts, strict=True):
        picture.draw_into(part)
    return figure


class _Picture:
    """The picture of one timeline. On its axes, x is in days since 1970, and y in rows, downward."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._rows = rows = arrange(timeline)
        self._since, self._until = _days(timeline.since), _days(max(timeline.until, timeline.since + SECOND_US))
        self._narrowest = (self._until - self._since) * style.NARROWEST
        in_band = len(rows.gaps) + len(rows.band)
        hosts = max(1, len(rows.hosts))
        row_inches = min(style.HIGHEST_ROW, max(style.LOWEST_ROW, style.ROWS_TOGETHER / hosts))
        self._band_row = min(1.0, style.HIGHEST_BAND_ROW / row_inches)
        self._hosts_from = in_band * self._band_row + style.BETWEEN if in_band else 0.0
        self._hosts_until = self._hosts_from + hosts
        self._name_size = min(style.LARGEST_NAME, row_inches / style.POINT * 0.55)
        self._reason_size = self._name_size * 0.9
        self._band_bar = style.BAND_BAR[0] * self._band_row, style.BAND_BAR[1] * self._band_row
        names = [*map(_gaps_of, rows.gaps), *map(_in_band, rows.band), *(row.name for row in rows.hosts)]
        widest = max((_width_of(cut(name), self._name_size) for name in names), default=0.0)
        left = style.MARGIN + max(1.0, widest + style.BESIDE_NAME)
        self._width = style.WIDTH - left - style.RIGHT
        self.height = style.HEAD + self._hosts_until * row_inches + style.FOOT
        self._place_of_axes = (
            left / style.WIDTH,
            style.FOOT / self.height,
            self._width / style.WIDTH,
            self._hosts_until * row_inches / self.height,
        )

    def draw_into(self, figure: SubFigure) -> None:
        """Draw the picture into a part of a figure of the same height."""
        self._axes = figure.add_axes(self._place_of_axes)
        self._draw_axes()
        for number, (source, gaps) in enumerate(self._rows.gaps.items()):
            self._draw_gaps(number * self._band_row, source, gaps)
        for number, row in enumerate(self._rows.band, start=len(self._rows.gaps)):
            self._draw_name((number + 0.5) * self._band_row, _in_band(row), style.INK)
            self._draw_bars(number * self._band_row, row, self._band_bar)
        for number, row in enumerate(self._rows.hosts):
            self._draw_host(self._hosts_from + number, row)
        if not self._rows.hosts:
            middle = (self._since + self._until) / 2
            self._axes.text(middle, self._hosts_from + 0.5, "no host was seen", ha="center", va="center")
        draw_head(figure, self.height, self._timeline, self._rows)

    def _draw_axes(self) -> None:
        axes = self._axes
        axes.set_xlim(self._since, self._until)
        axes.set_ylim(self._hosts_until, 0)
        axes.set_axisbelow(True)
        axes.yaxis.set_visible(False)
        axes.spines[["left", "right"]].set_visible(False)
        axes.spines[["top", "bottom"]].set_color(style.FAINT_INK)
        dates = ticks(self._timeline.since, self._timeline.until)
        axes.set_xticks([_days(at) for at, _ in dates], [label for _, label in dates])
        axes.tick_params(
            axis="x", top=True, labeltop=True, labelsize=style.TICK_SIZE, color=style.FAINT_INK, labelcolor=style.INK
        )
        axes.grid(axis="x", color=style.LINE, linewidth=0.6)
        if self._hosts_from:
            axes.axhspan(0, self._hosts_from - style.BETWEEN, color=style.BAND, linewidth=0, zorder=0)
        for number in range(len(self._rows.hosts) + 1):
            axes.axhline(self._hosts_from + number, color=style.LINE, linewidth=0.6, zorder=0.6)

    def _draw_name(self, middle: float, name: str, color: str) -> None:
        self._axes.text(
            -style.BESIDE_NAME / self._width,
            middle,
            cut(name),
            transform=self._axes.get_yaxis_transform(),
            ha="right",
            va="center_baseline",
            fontsize=self._name_size,
            color=color,
        )

    def _draw_host(self, top: float, row: Row) -> None:
        self._draw_name(top + 0.5, row.name, style.INK if row.bars else style.FAINT_INK)
        self._draw_strip(top, style.UPLOADS, uploads_of(self._timeline, row.name), style.TRAFFIC["uploads"][0])
        for name, shapes in responses_of(self._timeline, row.name).items():
            self._draw_strip(top, style.RESPONSES, shapes, style.TRAFFIC[name][0])
        self._draw_bars(top, row, style.BARS)

    def _draw_strip(self, top: float, place: _Place, shapes: Iterable[Sequence[Point]], color: str) -> None:
        """Draw shapes into a strip of a row. x is in columns, and y from 0 (bottom) to 1."""
        lower, height = top + place[1], place[1] - place[0]
        column = column_width(self._timeline) / DAY_US
        placed = []
        for shape in shapes:
            first, last = min(x for x, _ in shape), max(x for x, _ in shape)
            wider = column * max(1.0, self._narrowest / column / (last - first))
            begin = min(self._since + first * column, self._until - (last - first) * wider)
            placed.append([(begin + (x - first) * wider, lower - height * y) for x, y in shape])
        if placed:
            self._axes.add_collection(PolyCollection(placed, facecolors=color, linewidths=0, zorder=2), autolim=False)

    def _draw_bars(self, top: float, row: Row, place: _Place) -> None:
        height = (place[1] - place[0]) / row.lanes
        bars, tips = _Shapes([], []), _Shapes([], [])
        for bar in row.bars:
            color, upper = color_of(bar.symptom), top + place[0] + bar.lane * height
            lower, (since, width) = upper + height * 0.92, self._place(bar.since, bar.until)
            bars.add([(since, upper), (since + width, upper), (since + width, lower), (since, lower)], color)
            if bar.is_open:
                tip = self._until + (self._until - self._since) * 8 * style.POINT / self._width
                tips.add([(self._until, upper), (tip, upper + height * 0.46), (self._until, lower)], color)
        for shapes, is_within in ((bars, True), (tips, False)):
            # One artist for all bars, because a flapping host has hundreds, and one for each would take milliseconds.
            together = PolyCollection(
                shapes.corners, facecolors=shapes.colors, linewidths=0, clip_on=is_within, zorder=3
            )
            self._axes.add_collection(together, autolim=False)

    def _draw_gaps(self, top: float, source: str, gaps: Sequence[Gap]) -> None:
        """Hatch the gaps of a source through all rows. Their reasons are in a row at the top, where they fit."""
        middle = top + self._band_row / 2
        self._draw_name(middle, _gaps_of(source), style.INK)
        places = [self._place(gap.since, gap.until) for gap in gaps]
        for since, width in places:
            upper, lower = (top + edge for edge in self._band_bar)
            self._axes.add_patch(gap_patch(source, (since, upper), width, lower - upper))
            upper, lower = self._hosts_from, self._hosts_until
            self._axes.add_patch(gap_patch(source, (since, upper), width, lower - upper))
        taken_until = self._since
        letter = (self._until - self._since) * style.LETTER_WIDTH * self._reason_size * style.POINT / self._width
        for number, (gap, (since, width)) in enumerate(zip(gaps, places, strict=True)):
            text = f"{gap.reason} ({describe(gap.until - gap.since)})"
            right_end = places[number + 1][0] if number + 1 < len(places) else self._until
            left, right = int((since - taken_until) / letter) - 1, int((right_end - since - width) / letter) - 1
            taken_until = since + width
            if max(left, right) < style.SHORTEST_REASON:
                continue
            is_left = right < len(text) and right < left
            text = cut(text, left if is_left else right)
            self._axes.text(
                since - letter / 2 if is_left else since + width + letter / 2,
                middle,
                text,
                ha="right" if is_left else "left",
                va="center_baseline",
                fontsize=self._reason_size,
                color=style.INK,
            )
            if not is_left:
                taken_until += (len(text) + 1) * letter

    def _place(self, since: Instant, until: Instant) -> tuple[float, float]:
        """Return the x of the begin of a span of time, and its drawn width."""
        begin = min(_days(since), self._until - self._narrowest)
        return begin, max(self._narrowest, _days(until) - begin)


def _width_of(text: str, size: float) -> float:
    """Return the width of a text in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) * style.POINT


def _days(at: Instant) -> float:
    return at / DAY_US


def _gaps_of(source: str) -> str:
    return f"{source} gaps"


def _in_band(row: Row) -> str:
    return f"{EVERY_HOST} {row.name}"
