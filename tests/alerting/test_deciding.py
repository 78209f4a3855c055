"""The details of decisions, and the facts before the first evaluation."""

from __future__ import annotations

import pytest

from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.deciding import Decider
from fleet_health.alerting.dedup_keys import DedupKeys
from fleet_health.alerting.flapping import Flapping
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.inhibition import Inhibition
from fleet_health.alerting.lifecycle import Reason
from fleet_health.alerting.situation import Situation

NOW = 1_795_460_100_000_000
SILENT, DOWN, FAILING = ("a", "silent"), ("*", "receiver-down"), ("*", "receiver-failing")


@pytest.mark.parametrize(
    ("causes", "words"),
    [
        ({}, "an incident that has just ended"),
        ({SILENT: ()}, "an incident that has just ended"),
        ({SILENT: [FAILING, DOWN]}, "* receiver-down, * receiver-failing"),
        ({("b", "silent"): [DOWN]}, "an incident that has just ended"),
    ],
)
def test_an_inhibited_incident_names_its_causes(
    causes: dict[tuple[str, str], list[tuple[str, str]]], words: str
) -> None:
    """The detail names the causes of the incident in order, and no others."""
    inhibition = Inhibition()
    inhibition.update([[SILENT]], [[SILENT]])
    decider = Decider(Situation(), AlertPolicy(), inhibition, Flapping(), DedupKeys())

    decision = decider.decide(Incident(*SILENT, NOW), NOW, None, causes)

    assert (decision.reason, decision.detail) == (Reason.INHIBITED, words)


def test_before_the_first_evaluation_nothing_is_in_doubt() -> None:
    """Before the first evaluation, neither the clock nor a gap prevents the end of an incident."""
    situation = Situation()

    assert situation.shows_ends
    assert not situation.is_clock_uncertain
    assert not situation.is_after_a_gap
    assert not situation.found
    assert not situation.undecided
