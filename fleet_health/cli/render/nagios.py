"""Format the status for Nagios and compatible programs: one line with performance data, and an exit status.

A service that does not respond is critical as well, because it would not notify incidents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State
from fleet_health.api.levels import Level, level_of
from fleet_health.api.states import STATES
from fleet_health.errors import printable
from fleet_health.model.subject import named, receiver_of
from fleet_health.model.words import plural
from fleet_health.parsing.local_time import localized

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NAMED = 5
_LONGEST = 1_000


def report(document: Mapping[str, Any]) -> str:
    """Return the line for a status document."""
    by_state = document["hosts_by_state"]
    figures = ", ".join(f"{by_state[state]} {state}" for state in STATES if by_state.get(state))
    hosts = plural(sum(by_state.values()), "host")
    text = "; ".join(
        [*document["problems"], *_unseen(document), *_worst(document), f"{hosts}: {figures or 'none yet'}"]
    )
    counts = {"hosts": sum(by_state.values())} | {state: by_state.get(state, 0) for state in STATES}
    data = " ".join(f"{name}={count};{_LIMITS.get(name, ';')};0" for name, count in counts.items())
    return line(level_of(document), text, data)


_LIMITS: Mapping[str, str] = {State.FIRING: ";0", State.UNCONFIRMED: "0;", State.FLAPPING: "0;"}
"""State -> the thresholds of warning and critical, as numbers of hosts."""


def line(level: Level, text: str, data: str = "") -> str:
    """Return the line for a level. A `|` in the text is replaced, because it would begin the data."""
    words = localized(printable(" ".join(text.split()))).replace("|", "/")
    words = words if len(words) <= _LONGEST else words[: _LONGEST - 3] + "..."
    return f"FLEET {level.name} - {words}" + (f" | {data}" if data else "")


def _unseen(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (source["summary"] for source in document["sources"] if not source["is_seeing"])
    if not document["is_evaluated"]:
        yield "not evaluated yet"
    if hidden := document["hidden_by_symptom"]:
        yield f"cannot be ruled out: {', '.join(f'{symptom} of {count}' for symptom, count in hidden.items())}"


def _worst(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a text about the incidents in the worst state: those about no single host, then the first few hosts."""
    for state in (State.FIRING, State.UNCONFIRMED, State.FLAPPING):
        general = [one for one in document["fleet_incidents"] if one["state"] == state]
        names = [named(one["symptom"], receiver_of(one["host"])) for one in general]
        names += [f"{host['host']} {_symptoms(host)}" for host in document["hosts"] if host["state"] == state]
        left = len(general) + document["hosts_by_state"].get(state, 0) - min(_NAMED, len(names))
        if names:
            yield f"{state}: {', '.join(names[:_NAMED])}" + (f" and {left} more" if left > 0 else "")
            return


def _symptoms(host: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    return "+".join(incident["symptom"] for incident in host["incidents"])
