"""Draw the images of the pages as SVG: strips, the timeline of a host, the favicon and the badge.

Shapes show as much as colours. In a strip, a full bar is an upload, a low bar a refusal, a divided bar both, and a line
along the bottom neither. An empty part means that fleet-health did not watch. Drawings in a page get their colours from
the style sheet, by class. Separate images contain their colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from markupsafe import Markup

from fleet_health.model.strip import BINS, BOTH, NOTHING, REFUSED, UNSEEN, UPLOADED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.model.instant import Instant

# Kind of bin -> its strokes: class, width and vertical centre, the latter two in eighths of the height.
_STROKES = {
    UPLOADED: (("u", 8, 4.0),),
    BOTH: (("t", 4, 2.0), ("r", 3, 6.5)),
    REFUSED: (("r", 3, 6.5),),
    NOTHING: (("n", 1, 7.5),),
    UNSEEN: (),
}


@lru_cache(maxsize=4096)
def strip(bins: str, bin_name: str = "quarter-hours") -> Markup:
    """Draw a strip.

    Args:
        bins: The strip, as a string with one character for each bin; see `model.strip`.
        bin_name: What its bins are called, in the plural.

    """
    runs: dict[tuple[str, int, float], str] = {}
    begin = 0
    for kind, run in groupby(bins):
        length = len(list(run))
        for stroke in _STROKES[kind]:
            runs[stroke] = runs.get(stroke, "") + f"M{begin} {stroke[2]:g}h{length}"
        begin += length
    paths = Markup().join(Markup('<path class="{}" d="{}"/>').format(stroke[0], path) for stroke, path in runs.items())
    return Markup(
        '<svg class="strip" role="img" aria-label="{}" viewBox="0 0 {} 8" preserveAspectRatio="none">{}</svg>'
    ).format(strip_in_words(bins, bin_name), len(bins) or BINS, paths)


def strip_in_words(bins: str, bin_name: str) -> str:
    """Return the content of a strip in words, for screen readers."""
    uploaded, refused = (sum(bins.count(kind) for kind in kinds) for kinds in ((UPLOADED, BOTH), (REFUSED, BOTH)))
    watched = len(bins) - bins.count(UNSEEN)
    if not watched:
        return "not watched"
    words = f"uploads in {uploaded} of {watched} {bin_name}"
    return f"{words}, refusals in {refused}" if refused else words


@dataclass(frozen=True, slots=True)
class Bar:
    """An incident on a timeline.

    Attributes:
        lane: Its symptom.
        state: Its state.
        begin: When it opened.
        end: When it ended; None if it is open.
        begin_wall: When it opened, in ISO 8601.
        end_wall: When it ended, in ISO 8601; None if it is open.
        lasted_s: Its duration so far, in seconds.

    """

    lane: str
    state: str
    begin: Instant
    end: Instant | None
    begin_wall: str
    end_wall: str | None
    lasted_s: float


WIDTH, _LANE, _AXIS, _LEAST, _LABEL = 1000, 26, 22, 4, 40


def timeline(bars: Sequence[Bar], since: Instant, until: Instant, ticks: Iterable[tuple[Instant, str]]) -> Markup:
    """Draw incidents over time, with one lane for each symptom.

    Args:
        bars: The incidents.
        since: The begin of the timeline.
        until: The end of the timeline.
        ticks: Instants to mark, each with a label.

    """

    def x(at: Instant) -> int:
        return round(WIDTH * (min(max(at, since), until) - since) / (until - since))

    lanes = list(dict.fromkeys(bar.lane for bar in bars))
    height = _LANE * max(1, len(lanes)) + _AXIS
    drawn = [
        Markup('<path class="tick" d="M{} 0v{}"/><text class="axis" x="{}" y="{}">{}</text>').format(
            x(at), height - _AXIS, x(at) + 4, height - 6, word if x(at) < WIDTH - _LABEL else ""
        )
        for at, word in ticks
    ]
    for number, lane in enumerate(lanes):
        drawn.append(Markup('<path class="lane" d="M0 {}h{}"/>').format(_LANE * (number + 1), WIDTH))
        for bar in bars:
            if bar.lane == lane:
                begin, end = x(bar.begin), x(until if bar.end is None else bar.end)
                width = max(_LEAST, end - begin)
                drawn.append(
                    Markup('<rect class="bar {}" x="{}" y="{}" width="{}" height="{}"/>').format(
                        bar.state, min(begin, WIDTH - width), _LANE * number + 8, width, _LANE - 12
                    )
                )
        drawn.append(Markup('<text class="name" x="4" y="{}">{}</text>').format(_LANE * number + 19, lane))
    return Markup('<svg class="timeline" aria-hidden="true" viewBox="0 0 {} {}">{}</svg>').format(
        WIDTH, height, Markup().join(drawn)
    )


_COLOURS = {"well": "#1a7f37", "firing": "#c4281c", "doubt": "#9a6700", "blind": "#59606b", "starting": "#59606b"}
_MARKS = {
    "well": '<path d="M9 16.5l5 5 9.5-11" fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round"/>',
    "firing": '<path d="M16 7v11M16 23v.5" stroke="#fff" stroke-width="4.5" stroke-linecap="round"/>',
    "doubt": '<path d="M11.5 12.5c0-6 9-6 9-.5 0 3.500-4.500 3.500-4.500 7M16 24.500v.1" fill="none" stroke="#fff"'
    ' stroke-width="3.500" stroke-linecap="round"/>',
    "blind": '<path d="M9 9l14 14M23 9L9 23" stroke="#fff" stroke-width="4" stroke-linecap="round"/>',
    "starting": '<path d="M8 16h.1M16 16h.1M24 16h.1" stroke="#fff" stroke-width="5" stroke-linecap="round"/>',
}
_OUTLINES = {
    "well": '<circle cx="16" cy="16" r="15"/>',
    "firing": '<path d="M10 1h12l9 9v12l-9 9H10l-9-9V10z"/>',
    "doubt": '<path d="M16 0l16 16-16 16L0 16z"/>',
    "blind": '<rect x="1" y="1" width="30" height="30" rx="3"/>',
    "starting": '<rect x="0" y="7" width="32" height="18" rx="9"/>',
}
MOODS = tuple(_COLOURS)
"""The moods, which are the states of the fleet that a favicon or a badge can show."""


def favicon(mood: str) -> str:
    """Draw the favicon of a mood. Each mood has its own shape and colour."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><g fill="{_COLOURS[mood]}">{_OUTLINES[mood]}</g>'
        f"{_MARKS[mood]}</svg>\n"
    )


_CHARACTER, _PADDING, _HEIGHT = 6.7, 8, 20


def badge(mood: str, words: str) -> str:
    """Draw a badge for README files."""
    name = "fleet"
    left, right = (round(len(text) * _CHARACTER) + 2 * _PADDING for text in (name, words))
    texts = Markup().join(
        Markup('<text x="{}" y="14" textLength="{}">{}</text>').format(at, round(len(text) * _CHARACTER), text)
        for at, text in ((_PADDING, name), (left + _PADDING, words))
    )
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img"'
        ' aria-label="{name}: {words}"><title>{name}: {words}</title>'
        '<clipPath id="r"><rect width="{width}" height="{height}" rx="3"/></clipPath>'
        '<g clip-path="url(#r)"><path fill="#444a52" d="M0 0h{left}v{height}H0z"/>'
        '<path fill="{colour}" d="M{left} 0h{right}v{height}H{left}z"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{texts}</g></svg>\n'
    ).format(
        width=left + right,
        height=_HEIGHT,
        left=left,
        right=right,
        name=name,
        words=words,
        colour=_COLOURS[mood],
        texts=texts,
    )
