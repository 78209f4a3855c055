"""Format the status document as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.api.states import STATES
from fleet_health.cli.render.host_table import COLOURS, SIGNS, TABLE_OTHERS, table
from fleet_health.cli.render.terminal import BOLD, DIM, RED, YELLOW, Paint, cut, wrapped
from fleet_health.detectors.hidden import in_words
from fleet_health.errors import printable
from fleet_health.model.subject import named, receiver_of
from fleet_health.model.words import plural, short_duration
from fleet_health.parsing.local_time import localized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TICKS = (("last tick", "last_tick_wall"), ("next tick", "next_tick_wall"))


def screen(document: Mapping[str, Any], width: int, paint: Paint, height: int | None = None) -> list[str]:
    """Return a status document as lines of a width in columns; with a height, with as many hosts as fit."""
    head, foot = list(_head(document, width, paint)), list(_foot(document, width, paint))
    hosts = document["hosts"]
    if height is not None:
        if len(foot) > height // 3:  # leave room for the hosts
            foot = list(_foot(document, width, paint, is_short=True))
        room = max(0, height - len(head) - len(foot) - TABLE_OTHERS)
        hosts = hosts[:room] if len(hosts) == document["hosts_matching"] <= room else hosts[: max(0, room - 1)]
    return [*head, *table(document, hosts, width, paint), *foot][:height]


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
        yield from _wrapped(
            f"cannot be ruled out: {in_words(hidden)}; the journal does not show the whole window", width, paint, YELLOW
        )
    if not document["is_evaluated"]:
        yield paint("not evaluated yet: the sources are being read", YELLOW)
    for incident in document["fleet_incidents"]:
        colours = COLOURS.get(incident["state"], (DIM,))
        symptom = named(incident["symptom"], receiver_of(incident["host"]))
        since = f"{symptom} for {short_duration(incident['lasting_s'])} ({incident['state']})"
        found = incident["detail"] or "it is no longer found, but no newer fact shows a recovery"
        yield from _wrapped(f"{SIGNS[incident['state']]} {since}: {found}", width, paint, *colours)


def _foot(document: Mapping[str, Any], width: int, paint: Paint, *, is_short: bool = False) -> Iterator[str]:
    yield ""
    silences = document["silences"]
    if silences and is_short:
        yield cut(f"silences: {len(silences)}; `fleet-health silence list` shows them", width)
        silences = ()
    for window in document.get("mute_windows", ()):
        about = ", ".join(window["hosts"]) or "every host"
        yield from _wrapped(f"muted until {window['until_wall']} by [[quiet]]: {about}", width, paint)
    for silence in silences:
        symptom = f" {silence['symptom']}" if silence["symptom"] else ""
        line = f"silenced until {silence['ends_at_wall']}: {silence['hosts']}{symptom} ({silence['id']}), by "
        yield from _wrapped(f"{line}{silence['author']}: {silence['reason']}", width, paint)
    for warning in document.get("warnings", ()):
        yield from _wrapped(f"warning: {warning}", width, paint, YELLOW)
    if misfits := document.get("misfits"):
        more = f" and {len(misfits) - 1} more" if len(misfits) > 1 else ""
        yield from _wrapped(
            f"{misfits[0]}{more}: silent repeatedly, and recovered each time; `fleet-health suggest` shows a limit that"
            " fits",
            width,
            paint,
            YELLOW,
        )
    if document["not_evaluated"]:
        yield from _wrapped(f"not evaluated: {', '.join(document['not_evaluated'])}", width, paint, YELLOW)
    ticks = [f"{name} {document[key]}" for name, key in _TICKS if document[key]]
    yield from _wrapped(", ".join(ticks) or "no tick yet", width, paint)


def _wrapped(text: str, width: int, paint: Paint, *codes: str) -> Iterator[str]:
    """Yield a complete sentence, wrapped, because its end often contains the remedy."""
    for line in wrapped(localized(printable(text)), width, "  "):
        yield paint(line, *codes)
