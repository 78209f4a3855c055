"""Incidents in the real service: they open, end, are lost and survive whatever happens to the service."""

from __future__ import annotations

import gzip
import json
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.rig.site import iso, now_us

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Service, Site, StartService


def outcomes(site: Site) -> list[tuple[str, str, str]]:
    """Return host, symptom and status of each row of the alert log, in order; the status of an alert is empty."""
    return [(row["host"], row["symptom"], row.get("status", "")) for row in site.alert_rows()]


def state_of(site: Site) -> dict[str, Any]:
    """Read the saved state."""
    state: dict[str, Any] = json.loads((site.directory / "state" / "state.json").read_bytes())
    return state


def open_incidents(site: Site) -> list[tuple[str, str]]:
    """Return the open incidents in the saved state."""
    if not (site.directory / "state" / "state.json").exists():
        return []
    return sorted((incident["host"], incident["symptom"]) for incident in state_of(site)["incidents"]["open"])


def kill(service: Service) -> None:
    """Kill the service with SIGKILL."""
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()


def test_a_resolution_is_notified(site: Site, start_service: StartService) -> None:
    """A silent host uploads, a refused one is accepted: each resolves two ticks later, and reports its duration."""
    site.configure("alerts.resolved = true")
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        site.upload("quiet")
        site.answer("refused", 201)
        site.sync_journal()
        service.until(lambda: len(site.alert_rows()) == 5, "the ends")
        service.until(lambda: open_incidents(site) == [("unstamped", "unstamped")], "the state")

    assert sorted(outcomes(site)[3:]) == [("quiet", "silent", "resolved"), ("refused", "fatal-only", "resolved")]
    assert all("resolved after" in row["detail"] for row in site.alert_rows()[3:])


def test_the_alert_log_has_no_resolutions_by_default(site: Site, start_service: StartService) -> None:
    """It has only alerts; the log of the service counts the resolutions."""
    site.configure()
    site.answer("well", 201)
    site.sync_journal()
    site.upload("quiet", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        site.upload("quiet")
        service.until(lambda: any(line["ended"] for line in service.events("evaluated")), "the end")

    assert outcomes(site) == [("quiet", "silent", "")]


def test_open_incidents_survive_a_kill(site: Site, start_service: StartService) -> None:
    """They do not open or resolve again. A recovery during the downtime is notified."""
    site.configure('alerts.resolved = true\nalerts.repeat = ["24h"]')
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: open_incidents(site) == site.EVERY_ALERT, "the state")
        kill(service)
    opened_at = {incident["host"]: incident["opened_at"] for incident in state_of(site)["incidents"]["open"]}
    with start_service(site) as service:
        service.until(lambda: service.evaluations() >= 3, "some ticks")
        kill(service)
    site.upload("quiet")
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) > 3, "the end")
        service.until_evaluated_anew()
    still = {incident["host"]: incident["opened_at"] for incident in state_of(site)["incidents"]["open"]}

    assert sorted(outcomes(site)[:3]) == [(*alert, "") for alert in site.EVERY_ALERT]
    assert outcomes(site)[3:] == [("quiet", "silent", "resolved")]
    assert still == {host: at for host, at in opened_at.items() if host != "quiet"}


def test_without_the_state_no_alert_is_repeated_within_the_hour(site: Site, start_service: StartService) -> None:
    """The alert log shows which alerts were sent, and the state is rebuilt from it."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: open_incidents(site) == site.EVERY_ALERT, "the state")
        kill(service)
    (site.directory / "state" / "state.json").write_text('{"incidents": 5}')
    with start_service(site) as service:
        service.until(lambda: service.evaluations() >= 2, "some ticks")
        service.until(lambda: open_incidents(site) == site.EVERY_ALERT, "the state")
        complaints = service.events("state file damaged, undamaged part restored")

    assert len(complaints) == 1
    assert complaints[0]["problems"] == ["incidents: Expected `object`, got `int`"]
    assert (site.directory / "state" / "state.damaged").read_text() == '{"incidents": 5}'
    assert len(site.alert_rows()) == 3


def test_a_state_that_cannot_be_saved_is_reported(site: Site, start_service: StartService) -> None:
    """The status shows it, and alerts are sent all the same."""
    (site.directory / "state").write_text("in the way")
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: "the state cannot be saved" in service.notify.status, "the status")

        assert site.alerted() == site.EVERY_ALERT


def test_a_silent_host_is_lost_after_the_lookback(site: Site, start_service: StartService) -> None:
    """That is notified once and shown in the status; its alerts are not repeated."""
    configuration = (
        'alerts.resolved = true\nhosts.expected = ["quiet"]\n[detectors.silent]\nafter = "30m"\nlookback = "%s"'
    )
    site.configure(configuration % "1h")
    site.answer("well", 201)
    site.sync_journal()
    site.upload("quiet", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: outcomes(site) == [("quiet", "silent", "")], "the alert")
        site.configure(configuration % "40m")
        service.process.send_signal(signal.SIGHUP)
        service.until(lambda: ("quiet", "silent", "lost") in outcomes(site), "the loss")
        service.until(lambda: "1 lost" in service.notify.status, "the status")
        service.until_evaluated_anew()

    assert outcomes(site) == [("quiet", "silent", ""), ("quiet", "silent", "lost")]
    assert open_incidents(site) == [("quiet", "silent")]  # and nobody says that it was never seen


def test_a_host_that_fell_silent_during_a_long_downtime_is_lost(site: Site, start_service: StartService) -> None:
    """Its last upload is older than the lookback after the restart: one alert. A host that has uploaded is well."""
    site.configure('alerts.resolved = true\nhosts.expected = ["gone"]')
    site.upload("well", "gone")
    site.answer("well", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until((site.directory / "state" / "state.json").exists, "the state")
        kill(service)
    state = state_of(site)
    state["uploads"] = {host: at - 30 * 3_600_000_000 for host, at in state["uploads"].items()}
    (site.directory / "state" / "state.json").write_text(json.dumps(state))
    site.index.unlink()
    site.upload("well")
    for _ in range(2):
        with start_service(site) as service:
            service.until(lambda: "1 firing (1 silent)" in service.notify.status, "the status")
            service.until_evaluated_anew()
            kill(service)

    assert outcomes(site) == [("gone", "silent", "")]
    assert "the host is lost" in site.alert_rows()[0]["detail"]
    assert open_incidents(site) == [("gone", "silent")]


def test_an_expected_host_that_never_uploads_is_notified(site: Site, start_service: StartService) -> None:
    """After its grace, which a restart does not start again. Its first upload resolves it."""
    configuration = 'alerts.resolved = true\nhosts.expected = ["pi-1", "b-*"]\n[detectors.never-seen]\ngrace = "%s"'
    site.configure(configuration % "1h")
    site.upload("b-1")
    site.answer("b-1", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: open_incidents(site) == [("pi-1", "never-seen")], "the state")
        kill(service)
    site.configure(configuration % "1s")
    with start_service(site) as service:
        service.until(lambda: outcomes(site) == [("pi-1", "never-seen", "")], "the alert")
        site.upload("pi-1")
        service.until(lambda: ("pi-1", "never-seen", "resolved") in outcomes(site), "the end")


def test_a_host_that_is_no_longer_expected_is_not_missed(site: Site, start_service: StartService) -> None:
    """Neither is an ignored host, from the reload on. Other hosts are not affected."""
    site.configure('hosts.expected = ["pi-1", "pi-2", "spare-1", "bench-*"]\nhosts.ignore = ["spare-*", "bench-*"]')
    site.upload("other")
    with start_service(site) as service:
        service.until(lambda: open_incidents(site) == [("pi-1", "never-seen"), ("pi-2", "never-seen")], "the state")
        site.configure('hosts.expected = ["pi-1"]')
        service.reload()
        service.until(lambda: open_incidents(site) == [("pi-1", "never-seen")], "the state")


def test_a_mute_window_suppresses_notifications(site: Site, start_service: StartService) -> None:
    """The status shows the incidents. When the window ends, those that are still open are notified."""
    around = [datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-5, 120)]
    begins, ends = (f"{moment:%H:%M}" for moment in around)
    site.configure(f'[[quiet]]\nfrom = "{begins}"\nto = "{ends}"\n')
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        status, alerted = service.notify.status, site.alerted()
        site.configure()
        service.reload()
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")

    assert alerted == []
    assert "0 firing, 3 muted" in status


def test_an_incident_that_opens_repeatedly_is_flapping(site: Site, start_service: StartService) -> None:
    """One notification replaces the alert that would be one too many; then none follows until it is stable."""
    configuration = (
        'alerts.resolved = true\nalerts.repeat = ["24h"]\nalerts.flap_limit = 2\nalerts.flap_quiet = "%s"\n'
        '[detectors.silent]\nafter = "1s"'
    )
    site.configure(configuration % "1h")
    site.begin_journal()
    site.sync_journal()

    def fall_silent_and_upload(service: Service) -> None:
        service.until(lambda: ("comes", "silent") in open_incidents(site), "the opening")
        service.do_until(lambda: site.accept("comes"), lambda: open_incidents(site) == [], "the end")

    site.accept("comes")
    with start_service(site) as service:
        service.until_ready()
        for _ in range(4):
            fall_silent_and_upload(service)
        notified = outcomes(site)
        site.configure(configuration % "2s")
        service.process.send_signal(signal.SIGHUP)
        service.until(lambda: not state_of(site)["incidents"]["flapping"], "that it holds still")

    assert notified[:2] == [("comes", "silent", ""), ("comes", "silent", "resolved")]
    assert notified.count(("comes", "flapping", "")) == 1
    assert notified[-1] == ("comes", "flapping", "")


def test_an_alert_is_repeated_as_configured(site: Site, start_service: StartService) -> None:
    """An hour after the opening by the saved state, not before, and again an hour later."""
    site.configure('alerts.repeat = ["1h", "24h"]')
    site.answer("well", 201)
    site.sync_journal()
    site.upload("quiet", minutes_ago=45)

    def told_when_opened(seconds_ago: int) -> int:
        before = len(site.alert_rows())
        state = state_of(site)
        state["incidents"]["dedup_keys"] = {}
        (incident,) = state["incidents"]["open"]
        incident["last_notified_at"] += now_us() - seconds_ago * 1_000_000 - incident["opened_at"]
        incident["opened_at"] = now_us() - seconds_ago * 1_000_000
        (site.directory / "state" / "state.json").write_text(json.dumps(state))
        site.alerts.rename(site.directory / f"alerts.{before}.{seconds_ago}")
        with start_service(site) as service:
            service.until(lambda: service.evaluations() >= 3, "some ticks")
            kill(service)
        return len(site.alert_rows())

    with start_service(site) as service:
        service.until(lambda: open_incidents(site) == [("quiet", "silent")], "the state")
        kill(service)

    assert len(site.alert_rows()) == 1
    assert [told_when_opened(seconds) for seconds in (3_500, 3_700)] == [0, 1]


def test_an_ignored_host_is_forgotten_at_the_reload(site: Site, start_service: StartService) -> None:
    """Its uploads and incidents are dropped. When it is watched again, it is known and notified at once."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: open_incidents(site) == site.EVERY_ALERT, "the state")
        site.configure('hosts.ignore = ["quiet", "ref*"]')
        service.reload()
        service.until(lambda: open_incidents(site) == [("unstamped", "unstamped")], "the state")
        service.until(lambda: service.notify.status.startswith("Watching 2 hosts: "), "the status")
        site.configure()
        service.reload()
        service.until(lambda: open_incidents(site) == site.EVERY_ALERT, "the state")
        service.until(lambda: len(site.alert_rows()) >= 5, "the alerts")

    assert set(outcomes(site)[3:5]) == {("quiet", "silent", ""), ("refused", "fatal-only", "")}


def test_gaps_survive_a_restart(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """Only the state shows a step of the clock or a vacuumed journal, for as long as the lookback."""
    site.configure()
    site.upload("well")
    site.answer("well", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until((site.directory / "state" / "state.json").exists, "the state")
        kill(service)
    state, now = state_of(site), now_us()
    known = {"since": now - 100_000_000, "until": now - 50_000_000, "reason": "the clock was set"}
    state["journal_gaps"] = [{"since": 0, "until": now - 86_400_000_000, "reason": "long ago"}, known]
    (site.directory / "state" / "state.json").write_text(json.dumps(state))
    for _ in range(2):
        with start_service(site) as service:
            service.until_evaluated_anew()
            document = run_command("status", "--json", "--config", site.config).documents[0]
            kill(service)

    (journal,) = [source for source in document["sources"] if source["name"] == "journal"]
    assert [gap["reason"] for gap in journal["gaps"]] == ["the clock was set"]
    assert state_of(site)["journal_gaps"] == [known | {"messages": 0, "gaps": 1}]


def test_uploads_are_known_after_a_restart_without_their_rows(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The index was compressed away: a silent host is still silent, and no host is lost. Another index starts empty."""
    site.configure()
    site.upload("well")
    site.upload("quiet", minutes_ago=45)
    site.answer("well", 412)
    site.sync_journal()

    def last_uploads(service: Service) -> dict[str, str]:
        service.until_evaluated_anew()
        document = run_command("status", "--json", "--config", site.config).documents[0]
        kill(service)
        return {host["host"]: host["last_upload_wall"] for host in document["hosts"]}

    with start_service(site) as service:
        service.until(lambda: open_incidents(site) == [("quiet", "silent")], "the state")
        kill(service)
    before = state_of(site)["uploads"]
    site.index.with_name("index.jsonl.1.gz").write_bytes(gzip.compress(site.index.read_bytes()))
    site.index.write_bytes(b"")
    with start_service(site) as service:
        after = last_uploads(service)
    incidents = state_of(site)["incidents"]["open"]
    other = site.directory / "other.jsonl"
    other.write_bytes(b"")
    site.configure(index=other)
    with start_service(site) as service:
        from_another = last_uploads(service)

    assert after == {host: iso(at) for host, at in before.items()}
    assert [(one["symptom"], one["lost_at"]) for one in incidents] == [("silent", None)]
    assert from_another["well"] is None
