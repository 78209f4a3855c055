"""The list of incidents holds all that whoever delivers notifications must know, through every state and a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.alerting import flapping
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.api.incident_list import incidents_document
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.model.instant import HOUR_US, isoformat
from tests.alerting.test_incident_life import NOON, SILENT, TICK, Watch

if TYPE_CHECKING:
    from fleet_health.alerting.incidents import Outcome

FLAPS = ("a", flapping.SYMPTOM)


@pytest.fixture(params=[False, True], ids=["one life", "a restart before each tick"])
def watch(request: pytest.FixtureRequest) -> Watch:
    """Evaluate a fleet whose incidents flap from the second opening on."""
    return Watch(AlertPolicy(resolve_after_us=0, flap_limit=1), restarts=request.param)


def listed(watch: Watch, outcome: Outcome, at: int) -> dict[str, Any]:
    """Return the document after an evaluation."""
    return incidents_document(Evaluation(at, ()), outcome.decisions, watch.incidents)


def test_an_incident_keeps_its_detail_when_it_is_no_longer_found(watch: Watch) -> None:
    """So does an incident that has ended."""
    watch.tick(NOON, SILENT)
    unfound = listed(watch, watch.tick(NOON + TICK), NOON + TICK)["open"]
    ended = listed(watch, watch.tick(NOON + 2 * TICK, over=[SILENT]), NOON + 2 * TICK)["ended"]

    assert [(one["state"], one["detail"], one["suggested_fix"]) for one in unfound] == [
        ("unconfirmed", "detail", "fix")
    ]
    assert [(one["state"], one["detail"]) for one in ended] == [("resolved", "detail")]
    assert unfound[0]["id"] == ended[0]["id"]


def test_a_loss_is_listed_with_the_evaluation_that_notified_it(watch: Watch) -> None:
    """While it lasts, also under a silence; and after the incident was dropped or resolved."""
    watch.tick(NOON, SILENT)
    lost_at, lists = NOON + 25 * HOUR_US, []
    for number, muted in enumerate([[SILENT], [], [SILENT]]):
        at = lost_at + number * TICK
        rows = listed(watch, watch.tick(at, muted=muted), at)["open"]
        lists.append([(one["state"], one["loss_notified_wall"]) for one in rows])
    forgotten_at = lost_at + 32 * 24 * HOUR_US
    ended = listed(watch, watch.tick(forgotten_at), forgotten_at)["ended"]

    notified = isoformat(lost_at + TICK)
    assert lists == [[("silenced", None)], [("lost", notified)], [("silenced", notified)]]
    assert [(one["state"], one["loss_notified_wall"]) for one in ended] == [("forgotten", notified)]


def test_a_flapping_host_is_an_incident_of_its_own(watch: Watch) -> None:
    """It has one id from the alert to the notice of its end, even while no incident is open."""
    documents, at = [], NOON
    for number in range(5):
        at = NOON + number * TICK
        found, over = ((SILENT,), ()) if number % 2 == 0 else ((), (SILENT,))
        documents.append(listed(watch, watch.tick(at, *found, over=over), at))
    quiet_at = at + TICK
    documents.append(listed(watch, watch.tick(quiet_at, over=[SILENT]), quiet_at))
    end_at = quiet_at + 2 * HOUR_US
    outcome = watch.tick(end_at)
    last = listed(watch, outcome, end_at)

    flapping_rows = [[one for one in document["open"] if one["symptom"] == "flapping"] for document in documents]
    assert [len(rows) for rows in flapping_rows] == [0, 0, 1, 1, 1, 1]
    (first,), (_,), (later,), (quiet,) = flapping_rows[2:]
    assert (first["action"], later["action"]) == ("notify", "none")
    assert first["first_notified_wall"] == isoformat(NOON + 2 * TICK) == quiet["first_notified_wall"]
    assert first["detail"] == "silent opened 2 times within 24 h"
    assert first["suggested_fix"] == flapping.SUGGESTED_FIX
    (end,) = [one for one in last["ended"] if one["symptom"] == "flapping"]
    assert {first["id"], later["id"], quiet["id"], end["id"]} == {first["id"]}
    assert (end["state"], end["resolved_wall"]) == ("resolved", isoformat(end_at))
    assert ("resolved", *FLAPS) in [(notice.status, notice.host, notice.symptom) for notice in outcome.notices]
    assert [one for one in last["open"] if one["symptom"] == "flapping"] == []


def test_an_older_symptom_that_settles_first_does_not_rename_a_flapping_host() -> None:
    """The incident keeps its id while another symptom is still flapping."""
    other = ("a", "fatal-only")
    watch = Watch(AlertPolicy(resolve_after_us=0, flap_limit=1, flap_quiet_us=3 * TICK))
    ids, start = set(), NOON + 9 * TICK  # that both flap is notified in different hours
    for number in range(12):
        at, (found, over) = start + number * TICK, ([], [])  # type: ignore[var-annotated]
        for pair, is_active in ((SILENT, number < 4), (other, number >= 2)):
            if is_active:
                (found if number % 2 == 0 else over).append(pair)
        outcome = watch.tick(at, *found, over=over, evaluated=("silent", "fatal-only"))
        ids |= {one["id"] for one in listed(watch, outcome, at)["open"] if one["symptom"] == "flapping"}

    assert len(ids) == 1
