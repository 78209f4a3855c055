"""Format the table of hosts in `status`, with the columns that fit the width."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State
from fleet_health.api.states import UNKNOWN, WELL
from fleet_health.cli.render.terminal import BOLD, DIM, GREEN, RED, YELLOW, Paint, can_show, columns_of, cut, padded
from fleet_health.errors import printable
from fleet_health.model.strip import BINS, BOTH, NOTHING, REFUSED, UNSEEN, UPLOADED
from fleet_health.model.words import short_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SIGNS: dict[str, str] = {
    State.FIRING: "!",
    State.UNCONFIRMED: "?",
    UNKNOWN: "?",
    State.INHIBITED: "-",
    State.SILENCED: "z",
    State.MUTED: "z",
    State.FLAPPING: "~",
    State.PENDING: ".",
    State.LOST: "x",
    WELL: " ",
}
COLOURS: dict[str, tuple[str, ...]] = {
    State.FIRING: (RED, BOLD),
    State.UNCONFIRMED: (YELLOW,),
    UNKNOWN: (YELLOW,),
    State.FLAPPING: (YELLOW,),
    State.PENDING: (YELLOW,),
    WELL: (),
}
"""State -> the colours of its hosts. Hosts in other states are dim."""

TABLE_OTHERS = 3
"""The number of lines besides hosts: an empty one, the titles, and the legend."""

_STRIP = {UPLOADED: "▇", BOTH: "▄", REFUSED: "x", NOTHING: "·", UNSEEN: " "}
_PLAIN_STRIP = {UPLOADED: "#", BOTH: "+", REFUSED: "x", NOTHING: ".", UNSEEN: " "}
_STRIP_COLOURS = {UPLOADED: (GREEN,), BOTH: (YELLOW,), REFUSED: (RED,), NOTHING: (DIM,), UNSEEN: ()}

_NAME_LEAST, _SYMPTOMS_LEAST, _BINS_LEAST, _BINS_OF_AN_HOUR = 8, 14, 8, 4
_UPLOAD, _COUNT = 6, 4
_OWN = "~"


def table(document: Mapping[str, Any], hosts: Sequence[Mapping[str, Any]], width: int, paint: Paint) -> Iterator[str]:
    """Yield the lines of a table with some hosts of a status document."""
    if not document["hosts_matching"] and document["hosts_by_state"]:
        yield ""
        yield "no host matches"
    if not hosts:
        return
    layout = _layout(hosts, document.get("receivers") or (), width)
    windows = sorted({host["window_s"] for host in hosts})  # overrides may set them by host
    window = " to ".join(map(short_duration, dict.fromkeys((windows[0], windows[-1]))))
    yield ""
    yield paint(cut(layout.titles(), width), BOLD)
    strip = strip_in(paint)
    for host in hosts:
        yield layout.row(host, paint, strip)
    if (left := document["hosts_matching"] - len(hosts)) > 0:
        yield f"  and {left} more"
    own = ["~ silent after, by its own rhythm"] if any(map(is_own, hosts)) else []
    legend = [*own, *([f"responses of {window}"] if layout.counts else []), *([_legend()] if layout.bins else [])]
    if legend:
        yield paint(cut(f"  {'; '.join(legend)}", width), DIM)


def strip_in(paint: Paint) -> Callable[[str], str]:
    """Return a function that draws strips. It caches them, because most hosts of a large fleet have equal strips."""
    characters = _STRIP if can_show("".join(_STRIP.values())) else _PLAIN_STRIP
    shown = {one: paint(character, *_STRIP_COLOURS[one]) for one, character in characters.items()}
    return cache(lambda strip: "".join(map(shown.__getitem__, strip)))


@dataclass(frozen=True, slots=True)
class _Layout:
    """The width of each column; 0 for a column that is left out.

    Attributes:
        name: The host.
        symptoms: Its symptoms.
        receiver: The receiver of its uploads, if there are several.
        upload: The time since its last upload.
        counts: Each of the three counts of responses.
        bins: The strip.
        is_counting: Whether only the first symptom, the cause, is named and the others are counted.

    """

    name: int
    symptoms: int
    receiver: int = 0
    upload: int = _UPLOAD
    counts: int = _COUNT
    bins: int = BINS
    is_counting: bool = False

    @property
    def width(self) -> int:
        """The width of the table in columns of the terminal, including the signs in front."""
        columns = (1, self.name, self.receiver, self.symptoms, self.upload, *[self.counts] * 3, self.bins)
        return sum(one + 1 for one in columns if one) - 1

    def titles(self) -> str:
        """Return the line of the titles."""
        strip = f"LAST {self.bins // _BINS_OF_AN_HOUR} H".rjust(self.bins)
        return self._line((" ", "HOST", "RECEIVER", "STATE"), ("UPLOAD", ("2xx", "4xx", "5xx"), strip), str)

    def row(self, host: Mapping[str, Any], paint: Paint, strip_in: Callable[[str], str]) -> str:
        """Return the line of a host. `strip_in` draws its strip."""
        counts = [_count(host["responses"][kind]) for kind in ("2xx", "4xx", "5xx")]
        strip = strip_in(host["strip"][-self.bins :]) if self.bins else ""
        colours = COLOURS.get(host["state"], (DIM,))
        symptoms = _symptoms(host, is_counting=self.is_counting)
        words = (SIGNS[host["state"]], printable(host["host"]), host.get("receiver", ""), symptoms)
        figures = (short_duration(host["last_upload_age_s"]), counts, strip)
        return self._line(words, figures, lambda text: paint(text, *colours))

    def _line(
        self,
        words: tuple[str, str, str, str],
        figures: tuple[str, Sequence[str], str],
        paint: Callable[[str], str],
    ) -> str:
        (sign, name, receiver, symptoms), (upload, counts, strip) = words, figures
        named = [sign, padded(cut(name, self.name), self.name)]
        named += [padded(receiver, self.receiver)] if self.receiver else []
        named += [padded(cut(symptoms, self.symptoms), self.symptoms)]
        shown = [upload.rjust(self.upload)] if self.upload else []
        shown += [count.rjust(self.counts) for count in counts] if self.counts else []
        shown += [strip] if self.bins else []
        return " ".join([paint(" ".join(named)), *shown])


def _layout(hosts: Sequence[Mapping[str, Any]], receivers: Sequence[str], width: int) -> _Layout:
    """Return the columns for some hosts that fit a width.

    The strip is shortened first, hour by hour, and then symptoms are counted. After that the counts, the receiver and
    the last upload are left out. Names are cut last.
    """
    whole = _Layout(
        name=max(_NAME_LEAST, *(columns_of(printable(host["host"])) for host in hosts)),
        symptoms=max(_SYMPTOMS_LEAST, *(len(_symptoms(host)) for host in hosts)),
        receiver=max(len("RECEIVER"), *map(len, receivers)) if receivers else 0,
    )
    for bins in range(BINS, _BINS_LEAST - 1, -_BINS_OF_AN_HOUR):
        if (layout := replace(whole, bins=bins)).width <= width:
            return layout
    counted = max(len("STATE"), *(len(_symptoms(host, is_counting=True)) for host in hosts))
    without_strip = replace(whole, bins=0)
    brief = replace(without_strip, symptoms=counted, is_counting=True)
    without_counts = replace(brief, counts=0)
    without_receiver = replace(without_counts, receiver=0)
    narrowest = replace(without_receiver, upload=0)
    for layout in (without_strip, brief, without_counts, without_receiver, narrowest):
        if layout.width <= width:
            return layout
    symptoms = max(len("STATE"), min(counted, width - len("! ") - 1 - whole.name))
    return replace(narrowest, symptoms=symptoms, name=max(_NAME_LEAST, width - len("! ") - 1 - symptoms))


def is_own(host: Mapping[str, Any]) -> bool:
    """Return whether the limit of silence of a host is learned or from a schedule."""
    return bool(host.get("silent_limit", {}).get("source", "fixed") != "fixed")


def _symptoms(host: Mapping[str, Any], *, is_counting: bool = False) -> str:
    """Return the symptoms of a host, cause first; with `is_counting`, the cause and the number of others."""
    hidden = [f"{name}?" for name in host.get("hidden", ())]
    symptoms = [incident["symptom"] for incident in host["incidents"]] or hidden
    if not symptoms and is_own(host):
        return f"{_OWN}{short_duration(host['silent_limit']['limit_s'])}"
    if is_counting and len(symptoms) > 1:
        return f"{symptoms[0]} +{len(symptoms) - 1}"
    return ", ".join(symptoms)


def _legend() -> str:
    shown = _STRIP if can_show("".join(_STRIP.values())) else _PLAIN_STRIP
    return (
        f"15 min each: {shown[UPLOADED]} uploaded {shown[BOTH]} both {shown[REFUSED]} refused {shown[NOTHING]} nothing"
    )


def _count(count: int) -> str:
    return str(count) if count < 10_000 else f"{count // 1_000}k" if count < 1_000_000 else "many"  # noqa: PLR2004
