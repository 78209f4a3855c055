"""What the pages say: the words and the links that are made of a document. Pure; nothing here knows HTML."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fleet_health.alerting.lifecycle import State
from fleet_health.api.levels import Level, level_of
from fleet_health.api.page.drawing import Bar, timeline
from fleet_health.api.states import STATES, UNKNOWN, WELL
from fleet_health.detectors.hidden import in_words
from fleet_health.model.instant import HOUR_US, SECOND_US, from_datetime, isoformat
from fleet_health.model.subject import is_host, named, receiver_of
from fleet_health.model.words import plural, short_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markupsafe import Markup

    from fleet_health.model.instant import Instant

PAGE = 250
"""How many hosts are on a page."""

FILE_HOSTS = 1_000
"""How many hosts are on the page that is written to a file, which has no other pages."""

MEANINGS: dict[str, str] = {
    State.FIRING: "an alert was sent, and the incident is open",
    State.UNCONFIRMED: "the symptom is not found any more, and nothing yet shows the recovery",
    UNKNOWN: "no incident, but a gap may hide a symptom",
    State.INHIBITED: "another incident is its cause, and is notified instead",
    State.SILENCED: "a silence suppresses the alert, or it is acknowledged",
    State.MUTED: "a mute window suppresses the alert",
    State.FLAPPING: "the incident opens and resolves again and again",
    State.PENDING: "the alert is not sent yet",
    State.LOST: "an alert was sent, and there has been no sign of the host since",
    WELL: "no incident",
}
"""What each state of a host means."""

TONES: dict[str, str] = {
    State.FIRING: "bad",
    State.UNCONFIRMED: "doubt",
    UNKNOWN: "doubt",
    State.FLAPPING: "doubt",
    State.PENDING: "doubt",
    WELL: "good",
}
"""State -> the colour of what is in it; what is not here is calm."""

MOODS_OF_HOSTS = {"bad": "firing", "doubt": "doubt", "good": "well", "calm": "starting"}
"""Tone of a host -> the favicon of its page."""

LOUD = frozenset({State.FIRING, State.UNCONFIRMED, State.FLAPPING})
"""The states of incidents that are shown with all that is known; of the others that is folded away."""
WALL = 9
"""How many incidents are shown on a wall screen."""
WHOLE = 12
"""How many incidents are shown with all that is known; of the others that is folded away."""

_TIMELINE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pages are, each from the root on; `icons` is what the name of an icon begins with."""

    fleet: str
    silences: str
    wall: str
    icons: str


SERVED = Place("", "silences", "wall", "icons/")
"""Where they are if the service serves them."""
IN_FILES = Place("index.html", "silences.html", "wall.html", "icon-")
"""Where they are if a web server serves files."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The state of the fleet in a few words.

    Attributes:
        mood: Which of the favicons shows it.
        words: The words.
        figures: The hosts by their states.

    """

    mood: str
    words: str
    figures: str


def headline(document: Mapping[str, Any]) -> Headline:
    """Return the state of the fleet."""
    by_state = document["hosts_by_state"]
    total = sum(by_state.values())
    counted = ", ".join(f"{by_state[state]} {state}" for state in STATES if by_state.get(state))
    figures = f"{plural(total, 'host')}: {counted}" if counted else plural(total, "host")
    mood, words = _mood(document, total)
    return Headline(mood, words, figures)


def _mood(document: Mapping[str, Any], total: int) -> tuple[str, str]:
    level = level_of(document)
    if document["health"] == "stuck":
        found = "firing", "No evaluation since the last one was due"
    elif not document["is_evaluated"]:
        found = "starting", "Starting: the sources are being read"
    elif level is Level.CRITICAL:
        blind = "; not every source can be read" if document["is_blind"] else ""
        found = "firing", f"{plural(document['incidents_by_state'][State.FIRING], 'incident')} firing{blind}"
    elif level is Level.UNKNOWN:
        found = "blind", "Blind: not every source can be read"
    elif level is Level.WARNING:
        found = "doubt", _doubt(document)
    elif not total:
        found = "starting", "No host is known yet"
    elif document["hosts_by_state"].get(WELL) == total:
        found = "well", "The only host is well" if total == 1 else f"All {total:,} hosts are well"
    else:
        found = "well", "Nothing that needs you"
    return found


def _doubt(document: Mapping[str, Any]) -> str:
    open_now = document["incidents_by_state"]
    doubts = [f"{open_now[state]} {state}" for state in (State.UNCONFIRMED, State.FLAPPING) if open_now.get(state)]
    if hidden := document["hidden_by_symptom"]:
        doubts.append(f"cannot be ruled out: {in_words(hidden)}")
    return f"In doubt: {'; '.join(doubts)}" if doubts else "The service itself has a problem"


def badge_words(document: Mapping[str, Any]) -> str:
    """Return the state of the fleet for a badge."""
    total, open_now = sum(document["hosts_by_state"].values()), document["incidents_by_state"]
    mood = headline(document).mood
    if firing := open_now.get(State.FIRING):
        return f"{firing} firing"
    if mood in {"firing", "blind", "doubt"}:
        return {"firing": "stuck", "blind": "blind", "doubt": "in doubt"}[mood]
    return plural(total, "host") if mood == "well" else "starting" if not document["is_evaluated"] else "no hosts"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which hosts are asked for.

    Attributes:
        hosts: Names and globs; none for all.
        states: States; none for all.
        number: Which page of them, from 1 on.

    """

    hosts: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    number: int = 1

    @property
    def offset(self) -> int:
        """How many hosts stand before its page."""
        return (self.number - 1) * PAGE

    def query(self, **changes: Any) -> str:
        """Return it as the query of a URL, with some of it changed."""
        wanted = replace(self, **{"number": 1, **changes})
        pairs = [("host", glob) for glob in wanted.hosts] + [("state", state) for state in wanted.states]
        pairs += [("page", str(wanted.number))] if wanted.number > 1 else []
        return f"?{urlencode(pairs, errors='replace')}" if pairs else "./"

    @property
    def is_any(self) -> bool:
        """Whether less is asked for than all."""
        return bool(self.hosts or self.states)


@dataclass(frozen=True, slots=True)
class Chip:
    """A link to the hosts of one state; `state` is empty for all of them."""

    state: str
    count: int
    href: str
    is_current: bool


def chips(document: Mapping[str, Any], wanted: Filter) -> Iterator[Chip]:
    """Return a link for each state that hosts are in, or that is asked for."""
    by_state = document["hosts_by_state"]
    yield Chip("", sum(by_state.values()), wanted.query(states=()), not wanted.states)
    for state in STATES:
        if by_state.get(state) or state in wanted.states:
            is_current = wanted.states == (state,)
            yield Chip(state, by_state.get(state, 0), wanted.query(states=(state,)), is_current)


@dataclass(frozen=True, slots=True)
class Pager:
    """Which hosts of how many are on the page, and the links to others; an empty link leads nowhere."""

    first: int
    last: int
    total: int
    earlier: str
    later: str


def pager(document: Mapping[str, Any], wanted: Filter) -> Pager:
    """Return where in the list of hosts the page is."""
    total = document["hosts_matching"]
    last = wanted.offset + len(document["hosts"])
    return Pager(
        min(wanted.offset + 1, last),
        last,
        total,
        wanted.query(number=wanted.number - 1) if wanted.number > 1 else "",
        wanted.query(number=wanted.number + 1) if last < total and document["hosts"] else "",
    )


def host_href(host: str) -> str:
    """Return the path of a host's page, from the root on."""
    return f"hosts/{quote(host, safe='', errors='replace')}"


def symptoms(host: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a host, or cannot be ruled out."""
    return [one["symptom"] for one in host["incidents"]] or [f"{symptom}?" for symptom in host["hidden"]]


def symptom_name(incident: Mapping[str, Any]) -> str:
    """Return an incident's symptom, with the receiver that it is about."""
    return named(incident["symptom"], receiver_of(incident["host"]))


def window(document: Mapping[str, Any]) -> str:
    """Return in which time responses are counted, in words; it may differ by host."""
    windows = sorted({host["window_s"] for host in document["hosts"]})
    return " to ".join(map(short_duration, dict.fromkeys((windows[0], windows[-1])))) if windows else ""


def commands(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return commands about a host, a receiver or the fleet, each with what it is for."""
    subject = shlex.quote(document["host"])
    yield "the same on the command line", f"fleet-health explain {subject}"
    if command := document["evidence"].get("command"):
        yield "its lines in the journal", command
    silence = f"fleet-health silence {subject}"
    if not is_host(document["host"]):  # a silence of it must name the symptom
        for symptom in dict.fromkeys(one["symptom"] for one in document["open"]):
            yield f"acknowledge {symptom}", f"{silence} --symptom {symptom} --until-resolved --reason '…'"
        return
    if document["open"]:
        yield "acknowledge what is open", f"{silence} --until-resolved --reason '…'"
    yield "suppress its alerts for a while", f"{silence} --for 2h --reason '…'"


def verdict_tone(verdict: Mapping[str, Any]) -> str:
    """Return the tone of how it stands with a symptom."""
    if verdict["is_hidden"]:
        return "doubt"
    if verdict["incident"] is not None:
        return TONES.get(verdict["incident"]["state"], "calm")
    if verdict["is_found"]:
        return "bad"
    return "doubt" if verdict["holds_now"] and verdict["is_evaluated"] else "calm"


def bars(document: Mapping[str, Any]) -> list[Bar]:
    """Return the incidents of a host for its timeline, the one that opened first of them first."""
    found = []
    for one in [*document["open"], *document["ended"]]:
        begin_wall, end_wall = one["opened_wall"], one.get("ended_wall")
        begin, end = _instant(begin_wall), None if end_wall is None else _instant(end_wall)
        lasted_s = one["lasting_s"] if end is None else max(0, end - begin) / SECOND_US
        found.append(Bar(one["symptom"], one["state"], begin, end, begin_wall, end_wall, lasted_s))
    return sorted(found, key=lambda bar: (bar.begin, bar.lane))


def timeline_of(document: Mapping[str, Any], shown: Sequence[Bar]) -> Markup:
    """Draw the incidents of a host over the last days, with the midnights in UTC."""
    until, day = _instant(document["at_wall"]), 24 * HOUR_US
    since = until - _TIMELINE_DAYS * day
    midnights = range((since // day + 1) * day, until, day)
    return timeline(shown, since, until, [(at, isoformat(at)[5:10]) for at in midnights])


def _instant(wall: str) -> Instant:
    return from_datetime(datetime.fromisoformat(wall))
