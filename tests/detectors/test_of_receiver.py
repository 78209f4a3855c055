"""With several receivers, each is evaluated by itself, and hosts over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate
from fleet_health.model.coverage import Coverage
from fleet_health.model.eviction import evict
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Response, UnitState, Upload

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.config.schema import Settings
    from fleet_health.model.instant import Instant

MINUTE = 60 * SECOND_US


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings with two receivers."""
    file: Path = tmp_path_factory.mktemp("receivers") / "config.toml"
    file.write_text(
        "".join(
            f'[[receivers]]\nname = "{name}"\nindex.path = "{name}.jsonl"\njournal.unit = "{name}.service"\n'
            for name in ("a", "b")
        )
    )
    return load(file)


@pytest.fixture
def fleet() -> Fleet:
    """Return a fleet of two receivers that have shown nothing."""
    return Fleet(receivers=("a", "b"))


def found(fleet: Fleet, settings: Settings, now: Instant) -> set[tuple[str, str]]:
    """Return what is found."""
    return {(one.host, one.symptom) for one in evaluate(fleet, settings.detectors(), now).findings}


def test_a_receiver_that_stopped_inhibits_only_the_hosts_that_uploaded_to_it_last(
    fleet: Fleet, settings: Settings, now: Instant
) -> None:
    """A host that has moved to another receiver is silent for another reason."""
    fleet.record_uploads("a", [Upload("stayed", now - 45 * MINUTE), Upload("left", now - 45 * MINUTE)])
    fleet.record_uploads("b", [Upload("left", now - 44 * MINUTE)])
    fleet.record_traffic("a", [UnitState(now - 40 * MINUTE, is_running=False)])
    (down,) = (one for one in evaluate(fleet, settings.detectors(), now).findings if one.symptom == "receiver-down")

    assert down.host == "*@a"
    assert down.inhibits == {("stayed", "silent")}


def test_a_receiver_that_every_host_has_left_is_not_down(fleet: Fleet, settings: Settings, now: Instant) -> None:
    """If hosts upload elsewhere, no uploads there are not a fault."""
    hosts = [f"pi-{number}" for number in range(9)]
    fleet.record_uploads("a", [Upload(host, now - 45 * MINUTE) for host in hosts])
    fleet.record_uploads("b", [Upload(host, now - MINUTE) for host in hosts])

    assert found(fleet, settings, now) == set()


def test_of_one_receiver_s_gap_the_other_is_evaluated(fleet: Fleet, settings: Settings, now: Instant) -> None:
    """A gap in one receiver's sources does not concern the other."""
    fleet.record_traffic("b", [Response(host, now - MINUTE, 500) for host in ("x", "y", "z") for _ in range(12)])
    whole = found(fleet, settings, now)
    fleet.coverage = (Coverage("journal@a", unseen_since=now - 1, reason="away"), Coverage("journal@b"))
    with_a_away = found(fleet, settings, now)
    fleet.coverage = (Coverage("journal@a"), Coverage("journal@b", unseen_since=now - 1, reason="away"))
    with_b_away = found(fleet, settings, now)

    failing = ("*@b", "receiver-failing")
    assert (failing in whole, failing in with_a_away, failing in with_b_away) == (True, True, False)


def test_which_detectors_can_evaluate(settings: Settings) -> None:
    """A detector of a receiver needs that receiver's sources; one of hosts needs those of all."""
    detectors = {one.name: one for one in settings.detectors()}
    of_a_alone = frozenset({"index@a", "journal@a"})

    assert detectors["index-stalled@a"].can_evaluate(of_a_alone)
    assert not detectors["index-stalled@b"].can_evaluate(of_a_alone)
    assert not detectors["silent"].can_evaluate(of_a_alone)
    assert detectors["silent"].can_evaluate(of_a_alone | {"index"})


def test_what_is_forgotten_is_forgotten_of_each(fleet: Fleet, now: Instant) -> None:
    """A host is gone when its last upload to any receiver is too long ago."""
    fleet.record_uploads("a", [Upload("moved", now - 50), Upload("gone", now - 50)])
    fleet.record_uploads("b", [Upload("moved", now)])
    gone = evict(fleet, uploads_before=now - 10, traffic_before=now - 10, now=now)

    assert gone == {"gone": now - 50}
    assert list(fleet.of("a").uploads.items()) == []
    assert fleet.receiver_of("moved") == "b"


def test_which_receiver_a_host_belongs_to(fleet: Fleet, now: Instant) -> None:
    """The one of its last upload, and the one of the last response to it; none for an unknown host."""
    fleet.record_uploads("a", [Upload("moved", now - 2)])
    fleet.record_uploads("b", [Upload("moved", now - 1)])
    fleet.record_traffic("a", [Response("moved", now, 412)])

    assert (fleet.receiver_of("moved"), fleet.answered_by("moved")) == ("b", "a")
    assert (fleet.receiver_of("nobody"), fleet.answered_by("nobody")) == ("", "")


def test_what_changes_for_the_fleet_changes_for_each_receiver(fleet: Fleet, now: Instant) -> None:
    """The limit of hosts, and the places of protected hosts."""
    fleet.record_traffic("a", [Response("stranger", now, 412)])
    fleet.protect(["stranger"])
    fleet.protect([])
    fleet.limit_hosts(20)
    of_a = fleet.of("a")

    tables = (fleet.uploads, of_a.uploads, of_a.traffic, of_a.traffic.accepted, of_a.traffic.likely)
    assert [table.limit for table in tables] == [20] * 5
    assert of_a.traffic.strangers.limit == 2
    assert of_a.whole is fleet
    assert list(of_a.latest_uploads()) == []
    assert of_a.traffic.strangers.windows.keys() == {"stranger"}


def test_a_receiver_that_is_not_read_yet_has_shown_nothing(fleet: Fleet) -> None:
    """A preview of a configuration may name one."""
    assert list(fleet.of("new").hosts()) == []


def test_a_detector_of_a_receiver_shows_the_conditions_of_that_receiver_alone(
    fleet: Fleet, settings: Settings, now: Instant
) -> None:
    """It has none for another receiver or a host."""
    fleet.record_uploads("a", [Upload("pi-1", now - 45 * MINUTE)])
    fleet.record_traffic("a", [UnitState(now - 40 * MINUTE, is_running=False)])
    of_a, of_b = (one for one in settings.detectors() if one.symptom == "receiver-down")

    shown = of_a.conditions(fleet, "*@a", now)
    assert [one.is_met for one in shown] != [one.is_met for one in of_b.conditions(fleet, "*@b", now)]
    assert [of_a.conditions(fleet, other, now) for other in ("*@b", "*", "pi-1")] == [(), (), ()]


def test_a_detector_of_a_receiver_is_of_absence_if_what_it_looks_for_is(settings: Settings) -> None:
    """A silent receiver is an absence; one that refuses too much is not."""
    of_absence = {one.symptom: one.is_of_absence for one in settings.detectors() if "@a" in one.name}

    assert of_absence["receiver-down"]
    assert not of_absence["receiver-failing"]
