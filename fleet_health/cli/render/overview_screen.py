"""The status document as lines for a terminal."""

from __future__ import annotations

from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State
from fleet_health.api.states import STATES, UNKNOWN, WELL
from fleet_health.cli.render.terminal import BOLD, DIM, GREEN, RED, YELLOW, Paint, can_show, cut
from fleet_health.detectors.hidden import in_words
from fleet_health.errors import printable
from fleet_health.model.strip import BINS, BOTH, NOTHING, REFUSED, UNSEEN, UPLOADED
from fleet_health.model.subject import named, receiver_of
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SIGNS: dict[str, str] = {
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
"""State -> the colours of what is in it; what is not here is dim."""

_STRIP = {UPLOADED: "▇", BOTH: "▄", REFUSED: "x", NOTHING: "·", UNSEEN: " "}
_PLAIN_STRIP = {UPLOADED: "#", BOTH: "+", REFUSED: "x", NOTHING: ".", UNSEEN: " "}
_STRIP_COLOURS = {UPLOADED: (GREEN,), BOTH: (YELLOW,), REFUSED: (RED,), NOTHING: (DIM,), UNSEEN: ()}

_TICKS = (("last tick", "last_tick_wall"), ("next tick", "next_tick_wall"))

_HOST_LEAST, _HOST_MOST, _SYMPTOM = 8, 40, 14
# Sign, upload, three counts and the strip, each with a space behind; the strip has none.
_OTHERS = 2 + (_SYMPTOM + 1) + 7 + 3 * 5 + BINS + 1

# The lines of the table that are no hosts: an empty one, the titles, the legend.
_TABLE_OTHERS = 3


def screen(document: Mapping[str, Any], width: int, paint: Paint, height: int | None = None) -> list[str]:
    """Lay out a status document in lines of up to so many columns; with a height, for as many hosts as that allows."""
    head, foot = list(_head(document, width, paint)), list(_foot(document, width, paint))
    hosts = document["hosts"]
    if height is not None:
        if len(foot) > height // 3:  # the hosts are what it is looked at for
            foot = list(_foot(document, width, paint, is_short=True))
        room = max(0, height - len(head) - len(foot) - _TABLE_OTHERS)
        hosts = hosts[:room] if len(hosts) == document["hosts_matching"] <= room else hosts[: max(0, room - 1)]
    return [*head, *_table(document, hosts, width, paint), *foot][:height]


def short_duration(seconds: float | None) -> str:
    """Return a duration in up to six characters: `42s`, `31m`, `5h02m`, `12d`; a dash if there is none."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    if whole < 60:  # noqa: PLR2004 - as everybody counts
        return f"{whole}s"
    if whole < 3_600:  # noqa: PLR2004
        return f"{whole // 60}m"
    if whole < 86_400:  # noqa: PLR2004
        return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
    return f"{whole // 86_400}d"


def _head(document: Mapping[str, Any], width: int, paint: Paint) -> Iterator[str]:
    for problem in document["problems"]:
        yield from _wrapped(problem, width, paint, RED, BOLD)
    by_state = document["hosts_by_state"]
    figures = [f"{by_state[state]} {state}" for state in STATES if by_state.get(state)]
    total = sum(by_state.values())
    hosts = plural(total, "host")
    yield from _wrapped(f"{hosts}: {', '.join(figures)}" if figures else hosts, width, paint, BOLD)
    for source in document["sources"]:
        yield from _wrapped(source["summary"], width, paint, *(() if source["is_seeing"] else (RED, BOLD)))
    if hidden := document.get("hidden_by_symptom"):
        yield from _wrapped(f"cannot be ruled out: {in_words(hidden)}; the journal has a gap", width, paint, YELLOW)
    if not document["is_evaluated"]:
        yield paint("not evaluated yet: the sources are being read", YELLOW)
    for incident in document["fleet_incidents"]:
        colours = COLOURS.get(incident["state"], (DIM,))
        symptom = named(incident["symptom"], receiver_of(incident["host"]))
        since = f"{symptom} for {short_duration(incident['lasting_s'])} ({incident['state']})"
        yield from _wrapped(f"{_SIGNS[incident['state']]} {since}: {incident['detail']}", width, paint, *colours)


def _table(document: Mapping[str, Any], hosts: Sequence[Mapping[str, Any]], width: int, paint: Paint) -> Iterator[str]:
    if not document["hosts_matching"] and document["hosts_by_state"]:
        yield ""
        yield "no host matches"
    if not hosts:
        return
    names = [printable(host["host"]) for host in hosts]
    receivers = document.get("receivers") or ()
    column = max(len("RECEIVER"), *map(len, receivers)) if receivers else 0
    room = min(_HOST_MOST, max(_HOST_LEAST, width - _OTHERS - (column + 1 if column else 0)))
    room = min(room, max(_HOST_LEAST, *map(len, names)))
    windows = sorted({host["window_s"] for host in hosts})  # they differ by host, if overrides say so
    window = " to ".join(map(short_duration, dict.fromkeys((windows[0], windows[-1]))))
    yield ""
    yield paint(
        cut(
            f"  {'HOST':{room}} {_column('RECEIVER', column)}{'STATE':{_SYMPTOM}} {'UPLOAD':>6}"
            f" {'2xx':>4} {'4xx':>4} {'5xx':>4} {'LAST 6 H':>{BINS}}",
            width,
        ),
        BOLD,
    )
    for host, name in zip(hosts, names, strict=True):
        colours = COLOURS.get(host["state"], (DIM,))
        counts = " ".join(f"{_count(host['responses'][name]):>4}" for name in ("2xx", "4xx", "5xx"))
        beside = f"{_column(host.get('receiver', ''), column)}{_symptoms(host):{_SYMPTOM}}"
        yield (
            paint(f"{_SIGNS[host['state']]} {cut(name, room):{room}} {beside}", *colours)
            + f" {short_duration(host['last_upload_age_s']):>6} {counts} {strip_in(host['strip'], paint)}"
        )
    if (left := document["hosts_matching"] - len(hosts)) > 0:
        yield f"  and {left} more"
    yield paint(cut(f"  responses of {window}; 15 min each: {_legend()}", width), DIM)


def _column(text: str, width: int) -> str:
    """Return a text in a column so wide, with a space behind; nothing if there is no such column."""
    return f"{text:{width}} " if width else ""


def _foot(document: Mapping[str, Any], width: int, paint: Paint, *, is_short: bool = False) -> Iterator[str]:
    yield ""
    silences = document["silences"]
    if silences and is_short:
        yield cut(f"silences: {len(silences)}; `fleet-health silence list` shows them", width)
        silences = ()
    for silence in silences:
        symptom = f" {silence['symptom']}" if silence["symptom"] else ""
        line = f"silenced until {silence['ends_at_wall'][:16]}Z: {silence['hosts']}{symptom} ({silence['id']}), by "
        yield from _wrapped(f"{line}{silence['author']}: {silence['reason']}", width, paint)
    if document["not_evaluated"]:
        yield from _wrapped(f"not evaluated: {', '.join(document['not_evaluated'])}", width, paint, YELLOW)
    ticks = [f"{name} {document[key][11:19]}" for name, key in _TICKS if document[key]]
    yield f"{', '.join(ticks)} UTC" if ticks else "no tick yet"


def _wrapped(text: str, width: int, paint: Paint, *codes: str) -> Iterator[str]:
    """Return a sentence whole, in as many lines as it takes: what to do about it is often said at its end."""
    wrapper = TextWrapper(max(width, _HOST_LEAST), subsequent_indent="  ", break_on_hyphens=False)
    for line in wrapper.wrap(printable(text)):
        yield paint(line, *codes)


def _symptoms(host: Mapping[str, Any]) -> str:
    symptoms = [incident["symptom"] for incident in host["incidents"]] or [
        f"{name}?" for name in host.get("hidden", ())
    ]
    if not symptoms:
        return ""
    more = f" +{len(symptoms) - 1}" if len(symptoms) > 1 else ""
    return cut(symptoms[0], _SYMPTOM - len(more)) + more


def strip_in(strip: str, paint: Paint) -> str:
    """Return a strip as it is shown."""
    shown = _STRIP if can_show("".join(_STRIP.values())) else _PLAIN_STRIP
    return "".join(paint(shown[one], *_STRIP_COLOURS[one]) for one in strip)


def _legend() -> str:
    shown = _STRIP if can_show("".join(_STRIP.values())) else _PLAIN_STRIP
    return f"{shown[UPLOADED]} uploaded {shown[BOTH]} both {shown[REFUSED]} refused {shown[NOTHING]} nothing"


def _count(count: int) -> str:
    return str(count) if count < 10_000 else f"{count // 1_000}k" if count < 1_000_000 else "many"  # noqa: PLR2004
