"""Whatever is shown of the fleet is the same on every screen: counts, states, and the exit status."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.silences import Silences
from fleet_health.api.explanation import explanation_document
from fleet_health.api.levels import level_of
from fleet_health.api.overview import Knowledge, by_subject, hidden_of, host_states, status_document
from fleet_health.api.states import STATES
from fleet_health.cli.commands.status import exit_status
from fleet_health.cli.render.overview_screen import screen
from fleet_health.cli.render.terminal import Paint
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate
from fleet_health.engine import Engine
from fleet_health.model.fleet import Fleet
from fleet_health.model.history import HistorySnapshot
from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Response, Unstamped, Upload
from fleet_health.service.status import status_line
from tests.rig.properties import tried
from tests.rig.suppressing import muted, silenced

if TYPE_CHECKING:
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.config.schema import Settings
    from fleet_health.detectors.evaluation import Evaluation

NOW = 1_795_460_100 * SECOND_US
MINUTE = 60 * SECOND_US
HOSTS = st.sampled_from(["a", "b", "pi-3", "b%C3%BC", "x" * 40])
AGES = st.integers(0, 90).map(lambda minutes: minutes * MINUTE)
EVENTS = st.lists(
    st.one_of(
        st.builds(lambda host, age: Upload(host, NOW - age), HOSTS, AGES),
        st.builds(lambda host, age: Unstamped(host, NOW - age), HOSTS, AGES),
        st.builds(
            lambda host, age, status: Response(host, NOW - age, status), HOSTS, AGES, st.sampled_from([201, 412, 503])
        ),
    ),
    max_size=60,
)
PAIRS = st.sets(st.tuples(HOSTS, st.sampled_from(["silent", "fatal-only", "unstamped"])), max_size=5)
SETTINGS = load(None, {"hosts.expected": ("--expected", ["a", "absent"])})


@tried(60)
@given(EVENTS, PAIRS, st.sampled_from([silenced, muted]))
def test_every_output_agrees(
    events: list[Upload | Unstamped | Response], suppressed: set[tuple[str, str]], kind: object
) -> None:
    """The status as text, as JSON and in one line, the line for Nagios, and the explanation of each host."""
    known, fleet, engine, suppressions = known_of(events, kind(suppressed))  # type: ignore[operator]
    document = status_document(known, fleet, lambda _: True, frozenset(), None)
    text = screen(document, 200, Paint(is_on=False))
    line = line_of(known, fleet)
    explained = [
        explanation_document(known, fleet, engine.incidents, one["host"], lambda _: suppressions)
        for one in document["hosts"]
    ]

    by_state = {state: count for state in STATES if (count := document["hosts_by_state"].get(state))}
    words = ", ".join(f"{count} {state}" for state, count in by_state.items())
    hosts = f"{(total := sum(by_state.values()))} host{'s' * (total != 1)}"
    counted = f"{hosts}: {words}" if words else hosts
    assert Counter(one["state"] for one in document["hosts"]) == by_state
    assert text[0] == counted
    assert line.startswith(f"Watching {counted}; incidents: ")
    firing = document["incidents_by_state"].get("firing", 0)
    assert re.search(r"incidents: (\d+) firing", line)[1] == str(firing)  # type: ignore[index]
    assert {one["host"]: one["state"] for one in explained} == {one["host"]: one["state"] for one in document["hosts"]}
    for host, one in zip(document["hosts"], explained, strict=True):
        assert one["incidents"] == host["incidents"]
        assert {"silent", "fatal-only", "unstamped"} >= {each["symptom"] for each in host["incidents"]} - {"never-seen"}
    assert exit_status(document) == (1 if set(by_state) & {"firing", "flapping", "unconfirmed"} or firing else 0)
    assert (int(level_of(document)) == 0) == (exit_status(document) == 0)


def known_of(
    events: list[Upload | Unstamped | Response], suppressions: Suppressions
) -> tuple[Knowledge, Fleet, Engine, Suppressions]:
    """Evaluate some events twice, as a service does. Return what it knows."""
    rules = SETTINGS.rules()
    engine = Engine(rules)
    fleet = Fleet(SETTINGS.host_limit, expected=SETTINGS.expected)
    rules.apply_to(fleet)
    fleet.uploads.record([one for one in events if isinstance(one, Upload)])
    fleet.traffic.record([one for one in events if not isinstance(one, Upload)])
    evaluation = evaluate(fleet, rules.detectors, NOW)
    engine.decide(evaluation, suppressions)
    return knowledge_of(engine, evaluation, SETTINGS, suppressions), fleet, engine, suppressions


def knowledge_of(engine: Engine, evaluation: Evaluation, settings: Settings, suppressions: Suppressions) -> Knowledge:
    """Return what a service knows after an evaluation, if nothing is wrong with its sources."""
    return Knowledge(
        now=evaluation.at,
        settings=settings,
        problems=(),
        sources=(),
        evaluation=evaluation,
        details={(one.host, one.symptom): one.detail for one in evaluation.findings},
        next_at=evaluation.at + 5 * MINUTE,
        unseen=(),
        clock="",
        decisions=engine.incidents.decisions(evaluation.at, suppressions),
        silences=Silences(),
        history=HistorySnapshot(),
    )


def line_of(known: Knowledge, fleet: Fleet) -> str:
    """Return the line that `systemctl status` shows."""
    decisions = by_subject(known.decisions)
    hidden = hidden_of(known, fleet, (host for host in fleet.hosts() if host not in decisions))
    states = Counter(host_states(SETTINGS, fleet, decisions, hidden, NOW).values())
    return status_line(
        hosts_by_state={state: states[state] for state in STATES if states[state]},
        sources=(),
        last=known.evaluation,
        next_at=known.next_at,
        decisions=known.decisions,
        problems=(),
        now=NOW,
    )
