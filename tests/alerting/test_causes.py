"""The order of decisions, flapping hosts in a good phase, and the begin of incidents."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.lifecycle import Action, State
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from tests.alerting.test_incident_life import MINUTE, NOON, SILENT, TICK, Watch

STAMP, REFUSED, NEVER = ("a", "unstamped"), ("a", "fatal-only"), ("a", "never-seen")


def test_a_cause_is_named_before_what_follows_from_it() -> None:
    """A cause precedes its effects in any order of findings, and other hosts keep their place."""
    watch = Watch()
    outcome = watch.tick(NOON, SILENT, REFUSED, ("b", "silent"), NEVER, STAMP)
    expected = [STAMP, REFUSED, SILENT, NEVER, ("b", "silent")]

    assert [one.pair for one in outcome.decisions] == expected
    assert [one.pair for one in watch.incidents.decisions(NOON + 1)] == expected


@pytest.mark.parametrize("restarts", [False, True])
def test_a_host_that_flaps_is_not_well_in_its_good_phase(*, restarts: bool) -> None:
    """A host is flapping from its notification until it has been stable for long enough."""
    watch, now = Watch(AlertPolicy(flap_limit=1), restarts=restarts), NOON
    shown = []
    for phase in ("bad", "good", "good", "bad", "good", "good", *["good"] * 14):
        outcome = watch.tick(now, *([SILENT] if phase == "bad" else []), over=[] if phase == "bad" else [SILENT])
        shown.append([(one.pair, one.state) for one in outcome.decisions if one.state is State.FLAPPING])
        if shown[-1]:
            assert [(one.pair, one.state) for one in watch.incidents.decisions(now)] == shown[-1]
        now += TICK
    between = [one for one in watch.incidents.decisions(now) if one.action is not Action.NONE]

    assert shown[:3] == [[], [], []]
    assert shown[3] == [(SILENT, State.FLAPPING)]
    assert shown[5] == [(("a", "flapping"), State.FLAPPING)]
    assert shown[-1] == []
    assert not between


def test_what_flaps_names_the_symptoms_that_come_and_go() -> None:
    """The decision has the symptoms as its detail, and the instant since which the host flaps."""
    watch = Watch(AlertPolicy(flap_limit=1))
    for number, found in enumerate([[SILENT], [], [], [SILENT], [], []]):
        watch.tick(NOON + number * TICK, *found, over=[] if found else [SILENT])
    (decision,) = watch.incidents.decisions(NOON + 5 * TICK)

    assert (decision.detail, decision.incident.opened_at) == ("silent", NOON + 3 * TICK)


def evaluation(at: int, since: int | None, *, is_over: bool = False) -> Evaluation:
    """Return an evaluation that finds a silent host or its recovery."""
    found = () if is_over else (Finding(*SILENT, "", "", since=since),)
    return Evaluation(
        at,
        found,
        evaluated=frozenset({"silent"}),
        over=frozenset([SILENT] if is_over else []),
        signs={SILENT: at} if is_over else {},
        limits={SILENT: ""},
    )


@pytest.mark.parametrize(
    ("since", "lasted_us"),
    [
        pytest.param((NOON - 31 * MINUTE, NOON - 26 * MINUTE), 41 * MINUTE, id="the earliest that a finding says"),
        pytest.param((None, NOON - 31 * MINUTE), 41 * MINUTE, id="also if it is known later"),
        pytest.param((None, None), 10 * MINUTE, id="the opening if nobody knows"),
        pytest.param((NOON + MINUTE, None), 10 * MINUTE, id="no later than the opening"),
    ],
)
def test_a_resolution_counts_from_the_outage(since: tuple[int | None, int | None], lasted_us: int) -> None:
    """The duration counts from the outage and not from the alert, even over a restart."""
    incidents = Incidents(AlertPolicy(resolve_after_us=0))
    for number, at in enumerate(since):
        incidents.update(evaluation(NOON + number * TICK, at))
    restored = Incidents(AlertPolicy(resolve_after_us=0))
    restored.restore(msgspec.json.decode(msgspec.json.encode(incidents.snapshot()), type=Snapshot))
    (notice,) = restored.update(evaluation(NOON + 2 * TICK, None, is_over=True)).notices

    assert (notice.status, notice.lasted_us) == ("resolved", lasted_us)
    assert replace(notice, began_at=0).lasted_us == NOON + 2 * TICK


def test_a_lost_host_was_so_since_its_last_upload() -> None:
    """The duration of a loss counts from the last upload, even if the service was down then."""
    incidents = Incidents()
    incidents.update(Evaluation(NOON, (), evaluated=frozenset({"silent"}), gone={"a": NOON - 100 * MINUTE}))

    assert incidents.open[SILENT].since == NOON - 100 * MINUTE


def test_what_a_clock_that_was_ahead_dated_begins_no_later_than_now() -> None:
    """Redating moves the begin of an incident like its other instants."""
    incident = Incident(*SILENT, NOON + 2, began_at=NOON + 1)
    incident.redate(NOON)

    assert incident.since == incident.began_at == NOON
