"""Colours, sizes and helpers for the picture of a timeline."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from fleet_health.errors import printable

DPI = 150
WIDTH = 14.0
"""The width of the picture in inches. Its height depends on the number of rows."""

LONGEST_NAME = 32

TRAFFIC = {
    "uploads": ("#0072B2", "uploaded, by the index"),
    "accepted": ("#8CC8EE", "accepted"),
    "client_errors": ("#F0A30A", "refused 4xx"),
    "unstamped": ("#7A1F6B", "refused unstamped"),
    "server_errors": ("#D1400C", "refused 5xx"),
}
"""Kind of count -> its colour and its text in the legend. Only accepted uploads are blue."""

SYMPTOMS = {
    "silent": "#1A1A1A",
    "fatal-only": "#B5123A",
    "unstamped": "#8E4BB0",
    "flapping": "#E3C400",
    "never-seen": "#3FA796",
    "degraded": "#E07B39",
    "slow": "#4060FF",
    "blind": "#332288",
    "index-stalled": "#6C8EBF",
    "journal-lossy": "#117733",
    "receiver-down": "#661100",
    "receiver-failing": "#CC6677",
    "too-many-hosts": "#999933",
    "unknown-hosts": "#DDAA33",
}
"""Symptom -> the colour of its bars. The first seven are of hosts, and colour-blind readers can distinguish them; each
of the others has a row of its own, with its name before it."""

OTHER_SYMPTOM = "#777777"
INK, FAINT_INK, LINE, BAND = "#1A1A1A", "#5F5F5F", "#DEDEDE", "#F5F4F0"
GAP_FACE, GAP_EDGE = "#EFEFEF", "#A0A0A0"
HATCHES = {"journal": "////", "index": "\\\\\\\\"}
OTHER_HATCH = "xxxx"

# In inches.
MARGIN, AXIS, RIGHT = 0.2, 0.34, 0.35
TITLE, LEGEND_LINE = 0.34, 0.25
HEAD = MARGIN + TITLE + 2 * LEGEND_LINE + AXIS
FOOT = AXIS + MARGIN
HIGHEST_ROW, LOWEST_ROW, ROWS_TOGETHER = 0.6, 0.22, 12.0
HIGHEST_BAND_ROW = 0.32
BESIDE_NAME = 0.09

# In points.
POINT = 1 / 72
LARGEST_NAME = 10.0
TITLE_SIZE, LEGEND_SIZE, TICK_SIZE = 12.0, 8.5, 8.5
LETTER_WIDTH = 0.62
"""The width of an average letter, relative to the font size."""
SHORTEST_REASON = 6
"""A reason of a gap is not shown if fewer letters than this fit."""

# In rows, from a row's top.
UPLOADS, RESPONSES, BARS = (0.10, 0.26), (0.26, 0.58), (0.63, 0.92)
BAND_BAR = (0.2, 0.8)
BETWEEN = 0.4
"""The distance between the band at the top and the hosts."""

NARROWEST = 0.0025
"""The smallest drawn width of an incident, as a share of the picture, so that it is visible."""


def drawable(text: str) -> str:
    """Return a text with only printable letters that the font contains."""
    return printable(text).encode("latin-1", "backslashreplace").decode("latin-1")


def cut(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a drawable text, cut to a length."""
    text = drawable(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def color_of(symptom: str) -> str:
    """Return the colour of the incidents of a symptom."""
    return SYMPTOMS.get(symptom, OTHER_SYMPTOM)


def gap_patch(source: str, corner: tuple[float, float], width: float, height: float, label: str = "") -> Rectangle:
    """Return a hatched rectangle for a gap of a source."""
    return Rectangle(
        corner,
        width,
        height,
        facecolor=GAP_FACE,
        edgecolor=GAP_EDGE,
        hatch=HATCHES.get(source, OTHER_HATCH),
        linewidth=0.5,
        zorder=1,
        label=label,
    )
