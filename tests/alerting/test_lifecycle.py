"""The table of an incident's life: each row is reached, and only the listed transitions occur."""

from __future__ import annotations

import itertools
import random

import pytest

from fleet_health.alerting.alert import dedup_key
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.causes import cause_first
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.lifecycle import ENDED, TABLE, TRANSITIONS, Action, Decision, Fact, Reason, State, row_of
from fleet_health.alerting.scope import Scope
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.subject import EVERY_HOST
from tests.rig.properties import times
from tests.rig.suppressing import muted, silenced

TICK_US = 300_000_000
NOON = 1_795_435_200_000_000
WITH_RARE_STEPS = (65, 29, 2, 6, 12, 50)
"""Lives with steps that few others have: begun with, not all of 400 have to be tried."""
PAIRS = [("a", "silent"), ("b", "never-seen"), (EVERY_HOST, "receiver-down"), ("a", "unstamped")]


def walk(seed: int, ticks: int = 400) -> tuple[set[tuple[State | None, State]], set[tuple[State, Action]]]:
    """Evaluate random findings, and return each transition and the actions in each state."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    grace_us = chance.choice([3, 30]) * TICK_US
    policy = AlertPolicy(
        tick_us=TICK_US,
        repeat=chance.choice([None, (3_600_000_000,)]),
        resolve_after_us=chance.choice([0, None]),
        flap_limit=chance.choice([2, 100]),
        forget_after_us=20 * TICK_US,
        grace_us=lambda _, symptom: grace_us if symptom == "never-seen" else 0,
        lookback_us=lambda _: 6 * TICK_US,
        absence_us=lambda _, symptom: 3 * TICK_US if symptom in {"silent", "receiver-down"} else 0,
    )
    incidents = Incidents(policy)
    before: dict[tuple[str, str], State] = {}
    steps: set[tuple[State | None, State]] = set()
    done: set[tuple[State, Action]] = set()
    ill: set[tuple[str, str]] = set()
    over: set[tuple[str, str]] = set()
    suppressed: set[tuple[str, str]] = set()
    for number in range(ticks):
        now = NOON + number * TICK_US
        for group, odds in ((ill, 0.25), (over, 0.25), (suppressed, 0.15)):
            for pair in PAIRS:
                if chance.random() < odds:
                    group ^= {pair}
        scope = Scope(ignored=HostGlobs(("a",) if chance.random() < 0.05 else ()))
        incidents.tune(policy, scope)
        if chance.random() < 0.05:  # a `check` has sent this hour's alert of what has not opened here yet
            incidents.note_sent(dedup_key(*PAIRS[1], now), now)
        inhibits = frozenset(PAIRS[:2]) if chance.random() < 0.5 else frozenset()
        findings = tuple(Finding(*pair, "", "", inhibits if pair[0] == EVERY_HOST else frozenset()) for pair in ill)
        is_gone = PAIRS[0] not in ill | over and chance.random() < 0.05  # nobody sees a host that is gone
        evaluation = Evaluation(
            now,
            findings,
            evaluated=frozenset({"silent", "never-seen", "receiver-down", "unstamped"}),
            over=frozenset(over - ill),
            signs=dict.fromkeys(over - ill, now),
            limits=dict.fromkeys(PAIRS, ""),
            heard={"a": now, "b": now} if chance.random() < 0.1 else {},
            gone={"a": now - chance.choice([2, 10]) * TICK_US} if is_gone else {},
        )
        outcome = incidents.update(evaluation, (silenced if chance.random() < 0.5 else muted)(suppressed))
        pairs = [one.pair for one in outcome.decisions]
        assert pairs == sorted(pairs, key=cause_first)
        states = {
            one.pair: one.state for one in outcome.decisions if one.state not in ENDED and one.pair[1] != "flapping"
        }
        assert states.keys() == incidents.open.keys()  # a decision for every open incident
        for decision in outcome.decisions:
            if decision.pair[1] == "flapping":
                continue
            steps.add((before.get(decision.pair), decision.state))
            done.add((decision.state, decision.action))
        before = states
    return steps, done


def test_each_set_of_facts_has_one_row_and_each_row_is_taken() -> None:
    """Each set of facts has a row, and no row is unreachable."""
    facts = list(Fact)
    taken = {
        row_of(sum(fact for fact, is_true in zip(facts, bits, strict=True) if is_true))
        for bits in itertools.product((False, True), repeat=len(facts))
        if sum(bits) <= 5
    }

    assert taken == set(TABLE)


def test_every_step_is_one_that_the_table_of_transitions_has() -> None:
    """Random lives take only listed transitions, and together take all of them."""
    steps, done = set[tuple[State | None, State]](), set[tuple[State, Action]]()
    allowed = {(before, after) for before, states in TRANSITIONS.items() for after in states}
    for number, seed in enumerate((*WITH_RARE_STEPS, *range(400))):
        if number >= times(100) and allowed <= steps:
            break
        made, acted = walk(seed)
        steps |= made
        done |= acted

    assert steps <= allowed
    assert allowed <= steps
    assert done <= {(row.state, row.action) for row in TABLE}


@pytest.mark.parametrize("state", [State.RESOLVED, State.FORGOTTEN])
def test_nothing_that_has_ended_begins_again(state: State) -> None:
    """A fault that returns is another incident."""
    assert TRANSITIONS[state] == frozenset()


def test_a_decision_is_shown_to_programs() -> None:
    """The JSON object of a decision has the words of the table."""
    decision = Decision(Incident("a", "silent", 0), State.SILENCED, Action.NONE, Reason.SILENCED, "a silence")

    assert decision.row() == {
        "state": "silenced",
        "action": "none",
        "reason": "silenced",
        "reason_detail": "a silence",
    }
