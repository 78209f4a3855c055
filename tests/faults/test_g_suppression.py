"""Suppression in the real service: whatever it kept back is notified when it ends, and only that is resolved."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fleet_health.model.instant import HOUR_US
from tests.rig.site import now_us
from tests.rig.suppressing import end, silence
from tests.service.test_incidents import kill, open_incidents, outcomes, state_of

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService

QUICK = 'alerts.resolved = true\n[detectors.silent]\nafter = "1s"\nlookback = "2s"\n'
ALWAYS = [datetime.now(UTC) + timedelta(hours=hours) for hours in (-2, 2)]
QUIET = '[[quiet]]\nfrom = "{:%H:%M}"\nto = "{:%H:%M}"\n'


def recovering(site: Site) -> list[str]:
    """Return the hosts with an open incident that is recovering, by the saved state."""
    if not open_incidents(site):
        return []
    return [one["host"] for one in state_of(site)["incidents"]["open"] if one["recovered_since"] is not None]


def is_lost(site: Site, host: str) -> bool:
    """Return whether the saved state knows that a host is beyond its lookback."""
    if not open_incidents(site):
        return False
    return any(one["host"] == host and one["lost_at"] for one in state_of(site)["incidents"]["open"])


@pytest.mark.fault("G1", rig="service", says="a host dies while it is silenced, and leaves its lookback")
@pytest.mark.parametrize("is_killed", [False, True], ids=["one life", "killed meanwhile"])
def test_G1_a_host_that_dies_while_silenced_is_told_of_when_that_ends(
    site: Site, start_service: StartService, run_command: RunCommand, *, is_killed: bool
) -> None:
    """Once, though the detector does not find it any more; the status is right before and after."""
    site.configure(QUICK)
    site.begin_journal()
    site.sync_journal()
    one = silence(site, "dies")
    with start_service(site) as service:
        service.until_ready()
        site.accept("dies")
        service.until(lambda: is_lost(site, "dies"), "the end of its lookback")
        service.until(lambda: "0 firing, 1 silenced" in service.notify.status, "the status")
        before = (outcomes(site), run_command("status", "--config", site.config).status)
        if is_killed:
            kill(service)
        else:
            end(site, one)
            service.until(lambda: outcomes(site), "the alert")
            after = run_command("status", "--config", site.config)
            service.do_until(lambda: site.accept("dies"), lambda: len(outcomes(site)) > 1, "the end")
    if is_killed:
        end(site, one)
        with start_service(site) as service:
            service.until(lambda: outcomes(site), "the alert")
            after = run_command("status", "--config", site.config)
            service.do_until(lambda: site.accept("dies"), lambda: len(outcomes(site)) > 1, "the end")

    assert before == ([], 0)
    assert [row for row in outcomes(site) if row[2] != "lost"][:2] == [
        ("dies", "silent", ""),
        ("dies", "silent", "resolved"),
    ]
    assert "the host is lost, and this was not notified before" in site.alert_rows()[0]["detail"]
    assert after.status == 1


@pytest.mark.fault("G1", rig="service", says="a host dies while fleet-health is down, after an acknowledgement")
def test_G1_an_acknowledgement_covers_no_host_that_dies_after_it(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Its last upload was before the acknowledgement, and it is beyond its lookback at the next start."""
    site.configure()
    site.begin_journal()
    site.sync_journal()
    site.upload("dead", minutes_ago=45)
    site.upload("dies")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("dead", "silent")], "the alert")
        asked = ("--until-resolved", "--for", "1h", "--reason", "known", "--config", site.config)
        acknowledged = run_command("silence", "*", *asked)
        service.until_evaluated_anew()
        kill(service)
    state = state_of(site)
    state["uploads"]["dies"] -= 30 * HOUR_US
    (site.directory / "state" / "state.json").write_text(json.dumps(state))
    site.index.unlink()
    site.upload("dead", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: ("dies", "silent") in site.alerted(), "the alert")

    assert acknowledged.status == 0
    assert site.alerted() == [("dead", "silent"), ("dies", "silent")]


@pytest.mark.fault("G1", rig="service", says="a new fault of a host that recovers from one that was silenced")
def test_G1_a_recovery_hides_no_new_fault(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """Where limits are learned, it recovers for hours, and a host has one incident at a time."""
    site.configure('detectors.silent.cadence = "learned"\n')
    site.begin_journal()
    site.answer("comes", 201, at_us=now_us() - HOUR_US)
    site.sync_journal()
    site.upload("comes", minutes_ago=60)
    silence(site, "comes", "silent")
    with start_service(site) as service:
        service.until(lambda: "1 silenced" in service.notify.status, "the silent host")
        site.upload("comes")
        service.until(lambda: recovering(site) == ["comes"], "its upload")
        site.warn_unstamped("comes", times=12)
        site.sync_journal()
        service.until(lambda: site.alerted() == [("comes", "unstamped")], "the alert")
        status = run_command("status", "--config", site.config, "--json")

    assert json.loads(status.stdout)["incidents_by_state"] == {"firing": 1, "silenced": 1}


@pytest.mark.fault("G2", rig="service", says="what was notified recovers in a mute window")
def test_G2_a_resolution_waits_for_the_end_of_the_mute_window(site: Site, start_service: StartService) -> None:
    """The host is well meanwhile; and of what came and went within the window nobody hears."""
    plain = 'alerts.resolved = true\n[detectors.fatal-only]\nwindow = "2s"\n'
    site.configure(plain)
    site.upload("told", minutes_ago=45)
    site.begin_journal()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: outcomes(site) == [("told", "silent", "")], "the alert")
        site.configure(plain + QUIET.format(*ALWAYS))
        service.reload()
        site.accept("told")
        service.until(lambda: not open_incidents(site), "the end")
        site.answer("untold", 412, times=12)
        site.sync_journal()
        service.until(lambda: open_incidents(site) == [("untold", "fatal-only")], "the fault within")
        site.answer("untold", 201)
        site.sync_journal()
        service.until(lambda: not open_incidents(site), "its end")
        muted = outcomes(site)
        site.configure(plain)
        service.reload()
        service.until(lambda: len(outcomes(site)) > 1, "the resolution")
        service.until_evaluated_anew()

    assert muted == [("told", "silent", "")]
    assert outcomes(site) == [("told", "silent", ""), ("told", "silent", "resolved")]


@pytest.mark.fault("G24", rig="service", says="the grace becomes longer after the alert")
def test_G24_a_reload_makes_nothing_pending_that_was_notified(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """It still fires, as its alert said."""
    limits = 'hosts.expected = ["never"]\ndetectors.never-seen.grace = "{}"\n'
    site.configure(limits.format("1s"))
    site.begin_journal()
    site.sync_journal()
    site.accept("well")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("never", "never-seen")], "the alert")
        site.configure(limits.format("6h"))
        service.reload()
        service.until_evaluated_anew()
        status = run_command("status", "--config", site.config, "--json")

    assert status.status == 1
    assert json.loads(status.stdout)["incidents_by_state"] == {"firing": 1}


@pytest.mark.fault("G3", rig="service")
def test_G3_a_fault_that_returns_within_the_hour_is_told_of(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Its row has the same key and a later time; the state says that it fires, also after a kill."""
    site.configure('[detectors.silent]\nafter = "1s"\n')
    site.begin_journal()
    site.sync_journal()
    site.accept("comes")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("comes", "silent")], "the alert")
        service.do_until(lambda: site.accept("comes"), lambda: not open_incidents(site), "the resolution")
        kill(service)
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) > 1, "the second alert")
        service.until_evaluated_anew()
        status = run_command("status", "--config", site.config, "--json")
        checked = run_command("check", "--config", site.config)
    first, second = site.alert_rows()

    assert (first["host"], first["symptom"]) == (second["host"], second["symptom"])
    assert (first["dedup_key"] == second["dedup_key"]) == (
        first["detected_at_wall"][:13] == second["detected_at_wall"][:13]
    )
    assert status.status == 1
    assert json.loads(status.stdout)["incidents_by_state"] == {"firing": 1}
    assert "0 new alerts" in checked.stdout
