"""The clock is wrong (G13), or the one by which a row was dated (G14): nothing ends, and nobody lives for ever."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import zygote
from tests.rig.fake_clock import FakeClock, find_libfaketime
from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import plain_environment
from tests.rig.site import now_us

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import DoWithout, RunCommand, Site, StartService

MINUTE_S = 60
DAY_S = 86_400
YEAR_MINUTES = 365 * 24 * 60
STEP = "clock set or machine suspended, sources re-read"
RESOLVED = "alerts.resolved = true\n"


@pytest.fixture
def clock(tmp_path: Path, do_without: DoWithout) -> FakeClock:
    """Return a clock that can be set."""
    if (library := find_libfaketime()) is None:
        do_without("libfaketime is not installed")
    return FakeClock(library, tmp_path / "clock")


def saved(site: Site) -> dict[str, Any]:
    """Read the saved state; empty if there is none."""
    path = site.directory / "state" / "state.json"
    state: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return state


def standing(site: Site) -> list[tuple[str, str]]:
    """Return what the saved state says is open."""
    incidents = saved(site).get("incidents", {"open": []})
    return sorted((incident["host"], incident["symptom"]) for incident in incidents["open"])


def reported(site: Site) -> list[tuple[str, str, str]]:
    """Return host, symptom and status of each row of the alert log; an alert's status is empty."""
    return [(row["host"], row["symptom"], row.get("status", "")) for row in site.alert_rows()]


@pytest.mark.fault(
    "G13", rig="libfaketime", says="a boot 66 days back, uploads and refusals dated then, then right again"
)
def test_G13_a_boot_in_the_past(
    clock: FakeClock, site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Nothing is alerted and nothing ends, whatever comes in meanwhile; the status says why, until it is set right."""
    site.configure(RESOLVED)
    site.answer("well", 201, at_us=now_us() - 120 * MINUTE_S * 1_000_000)
    site.upload("well")
    site.upload("quiet", minutes_ago=45)
    site.answer("refused", 412, times=12)
    site.sync_journal()
    opened = [("quiet", "silent"), ("refused", "fatal-only")]
    with start_service(site) as service:
        service.until(lambda: site.alerted() == standing(site) == opened, "the alerts")
        service.stop(signal.SIGKILL)
    before = reported(site)
    clock.set(-66 * DAY_S)
    then_us = now_us() - 66 * DAY_S * 1_000_000
    site.journal_name = "boot.journal"
    with start_service(site, **clock.environment) as service:
        service.until(lambda: service.evaluations() >= 2, "some ticks")
        site.answer("refused", 412, times=12, at_us=then_us)
        site.answer("other", 412, times=12, at_us=then_us)
        site.sync_journal()
        site.upload("quiet", at_us=then_us)
        for _ in range(3):
            service.until_evaluated_anew()
        behind = reported(site), standing(site), service.notify.status
        status = run_command("status", "--json", "--config", site.config)
        clock.set(0)
        service.until(lambda: "the clock is" not in service.notify.status, "the clock to be right")
        for _ in range(3):
            service.until_evaluated_anew()
        right = reported(site), standing(site)

    assert behind[:2] == (before, opened)
    assert "the clock is 65 d 23 h behind the " in behind[2]  # the state or the alert log, whichever is later
    assert "absence and resolutions are not evaluated" in behind[2]
    assert status.status == 3
    assert right == (before, opened)


def run_at(clock: FakeClock, offset_s: int, *arguments: str | Path) -> str:
    """Run `fleet-health` by a clock that is off by so many seconds; return its output."""
    clock.set(offset_s)
    done = zygote.run(
        [str(argument) for argument in arguments], env=plain_environment() | clock.environment, timeout=PATIENCE_S
    )
    clock.set(0)
    return done.stdout


@pytest.mark.fault(
    "G14", rig="libfaketime", says="a row dated next year: the service, its next life, `check`, `replay`"
)
def test_G14_a_row_from_the_future_counts_once(clock: FakeClock, site: Site, start_service: StartService) -> None:
    """Its host is silent some time after it was read, and stays so: no restart ends or repeats the alert."""
    site.configure(RESOLVED + 'alerts.repeat = ["24h"]')
    site.answer("well", 201)
    site.sync_journal()
    site.upload("well", minutes_ago=2)
    with start_service(site, **clock.environment) as service:
        service.until(service.evaluations, "a tick")
        site.upload("ahead", minutes_ago=-YEAR_MINUTES)
        site.upload("hour", minutes_ago=-20)
        service.until(lambda: {"ahead", "hour"} <= saved(site).get("uploads", {}).keys(), "the rows to be saved")
        service.stop(signal.SIGKILL)
    counted = {host: at for host, _, at in saved(site)["ahead_rows"]}
    lives = []
    for offset_s, alert_count in ((10 * MINUTE_S, 0), (35 * MINUTE_S, 2), (40 * MINUTE_S, 2)):
        clock.set(offset_s)
        site.upload("well", at_us=now_us() + offset_s * 1_000_000)
        site.answer("well", 201, at_us=now_us() + offset_s * 1_000_000)
        site.sync_journal()
        with start_service(site, **clock.environment) as service:
            service.until(lambda count=alert_count: len(site.alert_rows()) >= count, "the alerts")  # type: ignore[misc]
            service.until_evaluated_anew()
            service.stop(signal.SIGKILL)
        lives.append(sorted(reported(site)))
    site.configure(RESOLVED, tick="5m")  # a replay of an hour by ticks of 100 ms would take long
    checked = run_at(clock, 40 * MINUTE_S, "check", "--dry-run", "--config", site.config)
    replayed = run_at(clock, 40 * MINUTE_S, "replay", "--since", "1h", "--json", "--no-pager", "--config", site.config)

    alerts = [("ahead", "silent", ""), ("hour", "silent", "")]
    assert counted.keys() == {"ahead", "hour"}
    assert lives == [[], alerts, alerts]
    assert "ahead: silent" in checked
    assert "hour: silent" in checked
    incidents = json.loads(replayed)["incidents"]
    assert {one["host"] for one in incidents if one["symptom"] == "silent"} == {"ahead", "hour"}


@pytest.mark.fault("G14", rig="libfaketime", says="a row dated tomorrow, and root confirms a clock that is set again")
def test_G14_a_row_from_the_future_counts_once_whatever_the_clock(
    clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """Everything is read again whenever the clock is set, and yet the row is no news of its host."""
    site.configure(RESOLVED + '[detectors.silent]\nafter = "5s"\n')
    clock.set(DAY_S)
    tomorrow_us = now_us() + DAY_S * 1_000_000
    with start_service(site, **clock.environment) as service:
        service.until(service.evaluations, "a tick")
        site.upload("ahead", at_us=tomorrow_us)
        os.utime(site.index, (tomorrow_us / 1e6,) * 2)
        service.until(lambda: ("ahead", "silent", "") in reported(site), "the alert")
        clock.set(0)
        (site.directory / "clock-is-right").touch()
        for offset_s in (0, 2 * MINUTE_S):
            clock.set(offset_s)
            steps = 1 + bool(offset_s)
            service.until(lambda steps=steps: len(service.events(STEP)) >= steps, "the step")  # type: ignore[misc]
            for _ in range(10):
                service.until_evaluated_anew()

        assert "the clock is" not in service.notify.status
        assert set(reported(site)) == {("ahead", "silent", "")}


@pytest.mark.fault("G14", rig="files", says="without a service that remembers, a row counts as the ones beside it")
def test_G14_a_command_alone_finds_the_dead_host(site: Site, run_command: RunCommand) -> None:
    """`check` finds it, also as of a time in the past, and so does `replay`."""
    site.configure()
    site.answer("well", 201)
    site.sync_journal()
    for minutes_ago in (50, 46):
        site.upload("well", minutes_ago=minutes_ago)
    site.upload("ahead", minutes_ago=-YEAR_MINUTES)
    for minutes_ago in (42, 20, 1):
        site.upload("well", minutes_ago=minutes_ago)
    then = str((now_us() - 5 * 60_000_000) // 1_000_000)

    assert "ahead: silent" in run_command("check", "--dry-run", "--config", site.config).stdout
    assert "ahead: silent" in run_command("check", "--dry-run", "--now", then, "--config", site.config).stdout
    site.configure(tick="5m")
    replayed = run_command("replay", "--since", "1h", "--json", "--no-pager", "--config", site.config)
    assert [one["host"] for one in replayed.documents[0]["incidents"]] == ["ahead"]


def lives_until_its_time_comes(
    clock: FakeClock, site: Site, start_service: StartService
) -> list[list[tuple[str, str, str]]]:
    """Return what is in the alert log after three lives: within the lookback, after it, and when the day is over."""
    lives = []
    for offset_s in (40 * MINUTE_S, DAY_S // 2, DAY_S + MINUTE_S):
        clock.set(offset_s)
        site.answer("well", 201, at_us=now_us() + offset_s * 1_000_000)
        site.sync_journal()
        with start_service(site, **clock.environment) as service:
            service.until_evaluated_anew()
            service.stop()
        lives.append([one for one in sorted(reported(site)) if one[1] == "silent"])
    return lives


OF_A_DAY = RESOLVED + 'alerts.repeat = ["24h"]\n[detectors.silent]\nafter = "30m"\nlookback = "1h"\n'


@pytest.mark.fault("G14", rig="libfaketime", says="a row dated tomorrow, and a start when its time has come")
def test_G14_a_row_does_not_count_when_its_time_comes(
    clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """It is the last one of the index, and does not end the alert of its host."""
    site.configure(OF_A_DAY)
    site.upload("gone")
    site.upload("gone", at_us=now_us() + DAY_S * 1_000_000)
    with start_service(site, **clock.environment) as service:
        service.until(service.evaluations, "a tick")
        service.stop()
    lives = lives_until_its_time_comes(clock, site, start_service)

    assert lives == [[("gone", "silent", "")], *[[("gone", "silent", ""), ("gone", "silent", "lost")]] * 2]


@pytest.mark.fault("G14", rig="libfaketime", says="an entry of a clock that was ahead, and a start when its time comes")
def test_G14_an_entry_does_not_count_when_its_time_comes(
    clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """A 201 dated tomorrow does not end the alert of its host, once the clock was known to be right."""
    site.configure(OF_A_DAY)
    clock.set(DAY_S)
    site.answer("well", 201)  # of an earlier boot, when the clock was right
    site.answer("gone", 201, at_us=now_us() + DAY_S * 1_000_000)
    site.sync_journal()
    with start_service(site, **clock.environment) as service:
        service.until(service.evaluations, "a tick")
        clock.set(0)
        (site.directory / "clock-is-right").touch()
        service.until(lambda: len(service.events(STEP)) == 1, "the step")
        site.upload("gone")
        for _ in range(3):
            service.until_evaluated_anew()
        service.stop()
    lives = lives_until_its_time_comes(clock, site, start_service)
    checked = run_at(clock, DAY_S + 2 * MINUTE_S, "check", "--json", "--dry-run", "--config", site.config)

    assert lives == [[("gone", "silent", "")], *[[("gone", "silent", ""), ("gone", "silent", "lost")]] * 2]
    assert '"resolved"' not in checked
