"""A host that falls silent because the receiver hangs waits until that is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.engine import Circumstances, Engine
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Upload
from tests.alerting.test_incident_life import NOON

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.config.schema import Settings

MINUTE, TICK = 60 * SECOND_US, 300 * SECOND_US
RHYTHMS = {f"pi-{minutes:02}": minutes for minutes in range(2, 11)}
"""Each host, and after how many minutes it uploads again."""
INDEX_ALONE = Circumstances(frozenset({"index", "index@a", "index@b"}))
RECEIVERS = "".join(
    f'[[receivers]]\nname = "{name}"\nindex.path = "{name}.jsonl"\njournal.unit = "{name}.service"\n' for name in "ab"
)


@pytest.fixture(params=["", RECEIVERS], ids=["one receiver", "two receivers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return the default settings for one or two receivers."""
    (file := tmp_path / "config.toml").write_text(request.param)
    return load(file)


def notified(
    settings: Settings, dead_since: dict[str, int], *, minutes: int = 90, back_at: dict[str, int] | None = None
) -> list[tuple[int, str, str]]:
    """Let hosts upload until each is dead or back, and return the alerts with their minutes."""
    names = settings.receiver_names
    engine, fleet = Engine(settings.rules()), Fleet(receivers=names)
    told = []
    for minute in range(-60, minutes):
        for host, rhythm in RHYTHMS.items():
            is_up = minute < dead_since.get(host, minutes) or minute >= (back_at or {}).get(host, minutes)
            if minute % rhythm == 0 and is_up:
                fleet.record_uploads(next(iter(names), ""), [Upload(host, NOON + minute * MINUTE + 7 * SECOND_US)])
        if names:
            fleet.record_uploads("b", [Upload("elsewhere", NOON + minute * MINUTE)])
        if (now := NOON + minute * MINUTE + 30 * SECOND_US) % TICK == 30 * SECOND_US:
            outcome = engine.tick(fleet, now, INDEX_ALONE)
            told += [(minute, one.finding.host, one.finding.symptom) for one in outcome.alerts]
    return told


@pytest.mark.parametrize("phase", range(5))
def test_a_receiver_that_hangs_is_one_alert(phase: int, settings: Settings) -> None:
    """This holds whenever the receiver hangs, and however rarely hosts upload."""
    told = notified(settings, dict.fromkeys(RHYTHMS, phase))
    receiver = "*@a" if settings.receiver_names else "*"

    assert {(host, symptom) for _, host, symptom in told} == {(receiver, "receiver-down")}


@pytest.mark.parametrize("host", ["pi-02", "pi-10"])
def test_a_host_that_dies_alone_does_not_wait(host: str, settings: Settings) -> None:
    """Uploads of other hosts show that the receiver works."""
    told = notified(settings, {host: 0})

    assert {one[1:] for one in told} == {(host, "silent")}
    assert told[0][0] <= 35


def test_who_died_before_the_receiver_is_notified(settings: Settings) -> None:
    """A finding that the receiver does not inhibit does not wait."""
    told = notified(settings, {**dict.fromkeys(RHYTHMS, 0), "pi-02": -38})

    assert ("pi-02", "silent") in {one[1:] for one in told}
    assert min(minute for minute, host, _ in told if host == "pi-02") < 5


def test_a_host_has_its_whole_time_after_the_receiver_hung(settings: Settings) -> None:
    """A rare uploader is not alerted just after that, but a host that stays away is."""
    back_at = {host: 60 for host in RHYTHMS if host not in {"pi-02", "pi-10"}} | {"pi-10": 90}
    told = notified(settings, dict.fromkeys(RHYTHMS, 0), minutes=150, back_at=back_at)

    assert {(host, symptom) for _, host, symptom in told if symptom == "silent"} == {("pi-02", "silent")}
    assert 90 < min(minute for minute, _, symptom in told if symptom == "silent") <= 105
