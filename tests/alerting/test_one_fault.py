"""A host that is refused and then silent has one incident, with its cause."""

from __future__ import annotations

import pytest

from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.causes import consequences
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.lifecycle import State
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from tests.alerting.test_incident_life import Watch, told

MINUTE = 60_000_000
TICK = 5 * MINUTE


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        ({("a", "silent"): 1}, {}),
        ({("a", "silent"): 1, ("b", "fatal-only"): 1}, {}),
        ({("a", "silent"): 1, ("a", "fatal-only"): 1}, {("a", "fatal-only"): {("a", "silent")}}),
        ({("a", "silent"): 1, ("a", "slow"): 1}, {("a", "silent"): {("a", "slow")}}),
        ({("a", "silent"): 1, ("a", "fatal-only"): 2}, {("a", "silent"): {("a", "fatal-only")}}),
        (
            {("a", "silent"): 2, ("a", "fatal-only"): 2, ("a", "unstamped"): 2, ("a", "never-seen"): 1},
            {("a", "unstamped"): {("a", "fatal-only"), ("a", "silent")}},
        ),
    ],
)
def test_the_first_one_stands_for_the_others(opened: dict[tuple[str, str], int], expected: object) -> None:
    """Of incidents found together, the cause inhibits the others of the same fault."""
    assert consequences(opened) == expected


def notified(incidents: Incidents, now: int, *symptoms: str) -> list[str]:
    """Evaluate, and return the symptoms that are alerted."""
    findings = tuple(Finding("pi-1", symptom, "", "") for symptom in symptoms)
    evaluated = frozenset({"silent", "fatal-only"})
    return [one.finding.symptom for one in incidents.update(Evaluation(now, findings, evaluated=evaluated)).alerts]


@pytest.mark.parametrize(("is_one", "expected"), [(True, [["silent"], []]), (False, [["silent"], ["fatal-only"]])])
def test_a_host_that_is_refused_and_silent_is_one_incident(*, is_one: bool, expected: list[list[str]]) -> None:
    """With learned limits there is one incident; with fixed limits each symptom is alerted."""
    incidents = Incidents(AlertPolicy(tick_us=TICK, is_one_fault=lambda _: is_one))

    assert [
        notified(incidents, 100 * TICK, "silent"),
        notified(incidents, 101 * TICK, "silent", "fatal-only"),
    ] == expected


@pytest.mark.parametrize("was_silenced", [True, False])
def test_a_new_fault_of_a_host_that_recovers_is_notified_unless_the_old_one_was(*, was_silenced: bool) -> None:
    """An ending incident that was not notified hides no new fault of its host."""
    watch = Watch(AlertPolicy(resolve_after_us=10 * TICK, is_one_fault=lambda _: True))
    silent, refused = ("a", "silent"), ("a", "fatal-only")
    both = ("silent", "fatal-only")
    muted = [silent] * was_silenced
    watch.tick(100 * TICK, silent, evaluated=both, muted=muted)
    recovering = watch.tick(101 * TICK, over=[silent], evaluated=both, muted=muted)
    found = watch.tick(102 * TICK, refused, over=[silent], evaluated=both, muted=muted)

    assert told(recovering) == []
    assert told(found) == [refused] * was_silenced
    assert {one.pair: one.state for one in found.decisions} == {
        silent: State.SILENCED if was_silenced else State.FIRING,
        refused: State.FIRING if was_silenced else State.INHIBITED,
    }


def receiver(symptom: str, *, is_of_journal: bool = True) -> Finding:
    """Return a finding about the receiver."""
    return Finding("*", symptom, "", "", is_of_journal=is_of_journal)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        pytest.param(
            [[receiver("journal-lossy")], [receiver("blind"), receiver("journal-lossy")]],
            [["journal-lossy"], []],
            id="uploads are missing, then nothing is shown",
        ),
        pytest.param(
            [[receiver("journal-lossy")], [receiver("blind")]], [["journal-lossy"], []], id="nobody compares any more"
        ),
        pytest.param(
            [[receiver("blind")], [receiver("blind"), receiver("journal-lossy")]], [["blind"], []], id="the other way"
        ),
        pytest.param([[receiver("blind"), receiver("journal-lossy")]], [["blind"]], id="both at once"),
        pytest.param(
            [[receiver("journal-lossy")], [receiver("blind", is_of_journal=False)]],
            [["journal-lossy"], ["blind"]],
            id="the index cannot be read either",
        ),
        pytest.param(
            [
                [receiver("journal-lossy")],
                [receiver("blind"), receiver("journal-lossy")],
                [receiver("blind", is_of_journal=False)],
            ],
            [["journal-lossy"], [], ["blind"]],
            id="the index is lost in the end",
        ),
    ],
)
def test_a_journal_that_lacks_uploads_is_one_incident(rounds: list[list[Finding]], expected: list[list[str]]) -> None:
    """Two detectors of a journal without uploads cause one alert; other problems are alerted."""
    incidents = Incidents(AlertPolicy(tick_us=TICK))
    outcomes = [
        incidents.update(Evaluation((100 + number) * TICK, tuple(findings))) for number, findings in enumerate(rounds)
    ]

    assert [[one.finding.symptom for one in outcome.alerts] for outcome in outcomes] == expected
