"""The texts and links of the pages, made from the documents, without HTML. Pure."""

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
"""The number of hosts on a page."""

FILE_HOSTS = 1_000
"""The number of hosts on the page that is written to a file, which has no further pages."""

MEANINGS: dict[str, str] = {
    State.FIRING: "an alert was sent, and the incident is open",
    State.UNCONFIRMED: "the symptom is no longer found, but no newer fact shows a recovery",
    UNKNOWN: "no incident, but a gap may hide a symptom",
    State.INHIBITED: "another incident is its cause, and is notified instead",
    State.SILENCED: "a silence suppresses the alert, or acknowledges the incident",
    State.MUTED: "a mute window suppresses the alert",
    State.FLAPPING: "the incident opens and resolves repeatedly",
    State.PENDING: "the alert has not been sent yet",
    State.LOST: "an alert was sent, and the host has shown no sign for the whole lookback",
    WELL: "no incident",
}
"""State of a host -> its meaning."""

TONES: dict[str, str] = {
    State.FIRING: "bad",
    State.UNCONFIRMED: "doubt",
    UNKNOWN: "doubt",
    State.FLAPPING: "doubt",
    State.PENDING: "doubt",
    WELL: "good",
}
"""State -> its tone, a class of the style sheet. Other states are `calm`."""

MOODS_OF_HOSTS = {"bad": "firing", "doubt": "doubt", "good": "well", "calm": "starting"}
"""Tone of a host -> the mood of its page, for the favicon."""

LOUD = frozenset({State.FIRING, State.UNCONFIRMED, State.FLAPPING})
"""The states of incidents that are shown in full. Other incidents are folded."""
WALL = 9
"""The largest number of incidents on a wall screen."""
WHOLE = 12
"""The largest number of incidents that are shown in full. Further ones are folded."""

_TIMELINE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Place:
    """The paths of the pages, relative to the root. `icons` is the prefix of the paths of icons."""

    fleet: str
    silences: str
    wall: str
    icons: str


SERVED = Place("", "silences", "wall", "icons/")
"""The paths if the service serves the pages."""
IN_FILES = Place("index.html", "silences.html", "wall.html", "icon-")
"""The paths if a web server serves them as files."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The state of the fleet in a few words.

    Attributes:
        mood: The mood, one of `drawing.MOODS`.
        words: The state.
        figures: The numbers of hosts by state.

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
        found = "firing", "Evaluation overdue"
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
        found = "well", "Nothing needs attention"
    return found


def _doubt(document: Mapping[str, Any]) -> str:
    open_now = document["incidents_by_state"]
    doubts = [f"{open_now[state]} {state}" for state in (State.UNCONFIRMED, State.FLAPPING) if open_now.get(state)]
    if hidden := document["hidden_by_symptom"]:
        doubts.append(f"cannot be ruled out: {in_words(hidden)}")
    return f"In doubt: {'; '.join(doubts)}" if doubts else "The service itself has a problem"


def badge_words(document: Mapping[str, Any]) -> str:
    """Return the state of the fleet in a word or two, for a badge."""
    total, open_now = sum(document["hosts_by_state"].values()), document["incidents_by_state"]
    mood = headline(document).mood
    if firing := open_now.get(State.FIRING):
        return f"{firing} firing"
    if mood in {"firing", "blind", "doubt"}:
        return {"firing": "stuck", "blind": "blind", "doubt": "in doubt"}[mood]
    return plural(total, "host") if mood == "well" else "starting" if not document["is_evaluated"] else "no hosts"


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter of the list of hosts.

    Attributes:
        hosts: Names and globs; empty for all hosts.
        states: States; empty for all states.
        number: The number of the page, from 1 on.

    """

    hosts: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    number: int = 1

    @property
    def offset(self) -> int:
        """The number of hosts before this page."""
        return (self.number - 1) * PAGE

    def query(self, **changes: Any) -> str:
        """Return the filter as the query of a URL, with some attributes changed. The page is the first by default."""
        wanted = replace(self, **{"number": 1, **changes})
        pairs = [("host", glob) for glob in wanted.hosts] + [("state", state) for state in wanted.states]
        pairs += [("page", str(wanted.number))] if wanted.number > 1 else []
        return f"?{urlencode(pairs, errors='replace')}" if pairs else "./"

    @property
    def is_any(self) -> bool:
        """Whether the filter may leave out hosts."""
        return bool(self.hosts or self.states)


@dataclass(frozen=True, slots=True)
class Chip:
    """A link to the hosts in one state, or to all hosts if `state` is empty."""

    state: str
    count: int
    href: str
    is_current: bool


def chips(document: Mapping[str, Any], wanted: Filter) -> Iterator[Chip]:
    """Return a link for each state that has hosts or is in the filter."""
    by_state = document["hosts_by_state"]
    yield Chip("", sum(by_state.values()), wanted.query(states=()), not wanted.states)
    for state in STATES:
        if by_state.get(state) or state in wanted.states:
            is_current = wanted.states == (state,)
            yield Chip(state, by_state.get(state, 0), wanted.query(states=(state,)), is_current)


@dataclass(frozen=True, slots=True)
class Pager:
    """The position of the page in the list of hosts, and links to the adjacent pages; a link is empty without one."""

    first: int
    last: int
    total: int
    earlier: str
    later: str


def pager(document: Mapping[str, Any], wanted: Filter) -> Pager:
    """Return the position of the page in the list of hosts."""
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
    """Return the path of a host's page, relative to the root."""
    return f"hosts/{quote(host, safe='', errors='replace')}"


def symptoms(host: Mapping[str, Any]) -> list[str]:
    """Return the symptoms of a host; if it has no incident, those that cannot be ruled out, with a `?`."""
    return [one["symptom"] for one in host["incidents"]] or [f"{symptom}?" for symptom in host["hidden"]]


def symptom_name(incident: Mapping[str, Any]) -> str:
    """Return the symptom of an incident, with the receiver if there are several."""
    return named(incident["symptom"], receiver_of(incident["host"]))


def window(document: Mapping[str, Any]) -> str:
    """Return the window in which responses are counted, in words. It may differ by host."""
    windows = sorted({host["window_s"] for host in document["hosts"]})
    return " to ".join(map(short_duration, dict.fromkeys((windows[0], windows[-1])))) if windows else ""


def commands(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield purpose and command for each useful command about a host, a receiver or the fleet."""
    subject = shlex.quote(document["host"])
    yield "show this page on the command line", f"fleet-health explain {subject}"
    if command := document["evidence"].get("command"):
        yield "show its lines in the journal", command
    silence = f"fleet-health silence {subject}"
    if not is_host(document["host"]):  # such a silence must name the symptom
        for symptom in dict.fromkeys(one["symptom"] for one in document["open"]):
            yield f"acknowledge {symptom}", f"{silence} --symptom {symptom} --until-resolved --reason '…'"
        return
    if document["open"]:
        yield "acknowledge its open incidents", f"{silence} --until-resolved --reason '…'"
    yield "suppress its alerts for two hours", f"{silence} --for 2h --reason '…'"


def verdict_tone(verdict: Mapping[str, Any]) -> str:
    """Return the tone of a detector's result for a host."""
    if verdict["is_hidden"]:
        return "doubt"
    if verdict["incident"] is not None:
        return TONES.get(verdict["incident"]["state"], "calm")
    if verdict["is_found"]:
        return "bad"
    return "doubt" if verdict["holds_now"] and verdict["is_evaluated"] else "calm"


def bars(document: Mapping[str, Any]) -> list[Bar]:
    """Return the incidents of a host for its timeline, oldest first."""
    found = []
    for one in [*document["open"], *document["ended"]]:
        begin_wall, end_wall = one["opened_wall"], one.get("ended_wall")
        begin, end = _instant(begin_wall), None if end_wall is None else _instant(end_wall)
        lasted_s = one["lasting_s"] if end is None else max(0, end - begin) / SECOND_US
        found.append(Bar(one["symptom"], one["state"], begin, end, begin_wall, end_wall, lasted_s))
    return sorted(found, key=lambda bar: (bar.begin, bar.lane))


def timeline_of(document: Mapping[str, Any], shown: Sequence[Bar]) -> Markup:
    """Draw the incidents of a host over the last 7 days, with marks at midnight in UTC."""
    until, day = _instant(document["at_wall"]), 24 * HOUR_US
    since = until - _TIMELINE_DAYS * day
    midnights = range((since // day + 1) * day, until, day)
    return timeline(shown, since, until, [(at, isoformat(at)[5:10]) for at in midnights])


def _instant(wall: str) -> Instant:
    return from_datetime(datetime.fromisoformat(wall))
