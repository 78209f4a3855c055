"""`fleet-health explain`: every figure against its limit, and what holds an alert back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.alerting.incident import Incident
from fleet_health.alerting.silences import Silences
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.alerting.suppression import no_suppressions
from fleet_health.api.explanation import explanation_document
from fleet_health.api.overview import Knowledge
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from fleet_health.engine import Engine
from fleet_health.model.fleet import Fleet
from fleet_health.model.history import HistorySnapshot
from fleet_health.model.instant import HOUR_US
from fleet_health.sources.journal.system_messages import DROPPED_ID
from tests.rig.site import now_us

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Finished, RunCommand, Site, StartService


@pytest.fixture
def explain(site: Site, run_command: RunCommand) -> Callable[..., Finished]:
    """Run the command for the site."""
    return lambda *arguments: run_command("explain", "--config", site.config, *arguments)


def verdict(done: Finished, symptom: str) -> dict[str, Any]:
    """Return one detector's part of a document."""
    (found,) = [one for one in done.documents[0]["detectors"] if one["symptom"] == symptom]
    return dict(found)


def test_every_figure_stands_against_its_limit(
    site: Site, explain: Callable[..., Finished], start_service: StartService
) -> None:
    """Each value has its limit, the setting and override it comes from, and the lines that show the value."""
    site.configure('[[overrides]]\nhosts = ["ref*"]\ndetectors.fatal-only.min_count = 7')
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until_evaluated_anew()
        shown = explain("refused").stdout
        document = explain("refused", "--json")
        quiet = explain("quiet", "--json")
        well = explain("well").stdout
        fleet = explain("*")

    fatal_only = verdict(document, "fatal-only")
    assert shown.startswith("refused: firing\n")
    assert "  known responses          12 x 412\n  refused mostly because   412\n" in shown
    assert "\nfatal-only: firing for " in shown
    assert (
        "  [x] responses in the last 30 min: 12 (required: at least 7)\n"
        "      detectors.fatal-only.min_count = 7, from overrides[1], ref*\n"
    ) in shown
    assert '      detectors.fatal-only.window = "30m", from default\n' in shown
    assert "  it was notified in this UTC hour (" in shown
    assert re.search(r"^  notified next at \d{4}-\d\d-\d\d \d\d:00:00\+00:00, if it lasts$", shown, re.MULTILINE)
    assert shown.count('"PUT /v1/episodes/refused/') == 3
    assert "\nMore lines: journalctl --unit=cis490-receiver.service --since=@" in shown
    assert (fatal_only["is_found"], fatal_only["incident"]["state"]) == (True, "firing")
    assert all(figure["is_met"] for figure in fatal_only["figures"])
    assert verdict(quiet, "silent")["figures"][0]["value"].startswith("45 min")
    assert well.startswith("well: well\n")
    assert "\nsilent: not found\n  [ ] last accepted upload: " in well
    assert re.search(r"^  it would be found at \S+ \S+\+00:00 if no upload is accepted before$", well, re.MULTILINE)
    assert verdict(quiet, "silent")["would_fire_wall"] is None
    assert fleet.stdout.startswith("the fleet as a whole: well\n")
    assert "  [ ] systemd: the unit: nothing is known of it " in fleet.stdout


def test_what_holds_an_alert_back_is_said(
    site: Site,
    explain: Callable[..., Finished],
    run_command: RunCommand,
    start_service: StartService,
) -> None:
    """A silence with its author and reason, a cause that is notified instead, or a `for` that is not over."""
    site.configure('hosts.expected = ["absent"]\n[receiver.failing]\nmin_hosts = 1')
    site.upload("well")
    site.upload("quiet", minutes_ago=45)
    site.answer("broken", 503, times=12)
    site.sync_journal()
    run_command("silence", "quiet", "--for", "2h", "--reason", "we know", "--config", site.config)
    with start_service(site) as service:
        service.until_evaluated_anew()
        silenced = verdict(explain("quiet", "--json"), "silent")
        held = verdict(explain("broken", "--json"), "fatal-only")
        pending = verdict(explain("absent", "--json"), "never-seen")
        failing = verdict(explain("*", "--json"), "receiver-failing")

    assert silenced["incident"]["reason"] == "silenced"
    assert silenced["incident"]["reason_detail"].endswith(": we know")
    assert silenced["next_alert_wall"] > silenced["incident"]["opened_wall"]
    assert (held["incident"]["state"], held["incident"]["reason_detail"]) == ("inhibited", "* receiver-failing")
    assert held["next_alert_wall"] is None
    assert (pending["incident"]["state"], pending["incident"]["reason"]) == ("pending", "within grace")
    assert failing["incident"]["state"] == "firing"


def test_a_share_of_refusals_is_explained_where_it_is_looked_for(
    site: Site, explain: Callable[..., Finished], start_service: StartService
) -> None:
    """A configured share is explained and alerted. By default there is none."""
    for minutes in range(90, 0, -3):
        at_us = now_us() - minutes * 60_000_000
        site.answer("partial", 422 if minutes % 2 else 201, at_us=at_us)
        site.upload("partial", at_us=at_us)
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        by_default = [one["symptom"] for one in explain("partial", "--json").documents[0]["detectors"]]
        site.configure('[detectors.degraded]\nenabled = true\nwindow = "1h"\nmin_count = 10')
        service.reload()
        service.until(lambda: ("partial", "degraded") in site.alerted(), "the alert")
        found = verdict(explain("partial", "--json"), "degraded")

    assert "degraded" not in by_default
    assert found["is_found"]
    assert all(one["is_met"] for one in found["figures"])


@pytest.mark.parametrize(
    ("repeat", "hours", "lost_at", "expected"),
    [
        ("'hour'", 0, None, "it was notified in this UTC hour (2026-11-23T12:00:00Z)"),
        ("'hour'", 1, None, "its repeat is due at the next evaluation"),
        ("['3h', '8h']", 2, None, "it was notified, and its next repeat is not due yet (2026-11-23T12:00:00Z)"),
        ("['3h', '8h']", 3, None, "its repeat is due at the next evaluation"),
        (
            "'hour'",
            0,
            1,
            (
                "its host has shown no sign for the whole lookback; it is notified again if the host returns and still"
                " shows it"
            ),
        ),
    ],
    ids=["in this hour", "in the next one", "between two intervals", "when one is over", "lost"],
)
def test_why_an_incident_is_notified_or_not(
    repeat: str, hours: int, lost_at: int | None, expected: str, tmp_path: Path
) -> None:
    """It was notified in this hour or within the repeat interval. A lost host is not notified again."""
    (config := tmp_path / "config.toml").write_text(f"alerts.repeat = {repeat}")
    last_notified_at = 1_795_435_200_000_000
    incident = Incident("a", "silent", last_notified_at, last_notified_at=last_notified_at, lost_at=lost_at)
    settings = load(config)
    engine = Engine(settings.rules())
    findings = () if lost_at else (Finding("a", "silent", "detail", ""),)
    engine.incidents.restore(Snapshot(at=last_notified_at, open=[incident]))
    engine.decide(Evaluation(last_notified_at, findings))
    known = Knowledge(
        now=last_notified_at + hours * HOUR_US,
        settings=settings,
        problems=[],
        sources=[],
        evaluation=None,
        details={} if lost_at else {("a", "silent"): "detail"},
        next_at=None,
        unseen=(),
        clock="",
        decisions=engine.incidents.decisions(last_notified_at + hours * HOUR_US),
        silences=Silences(),
        history=HistorySnapshot(),
    )
    document = explanation_document(known, Fleet(), engine.incidents, "a", lambda _: no_suppressions)

    assert document["detectors"][0]["why"] == expected


def test_what_is_silenced_stays_so_when_nobody_can_say_whether_it_is_over(
    site: Site,
    explain: Callable[..., Finished],
    run_command: RunCommand,
    start_service: StartService,
) -> None:
    """A silenced incident in doubt stays silenced. The doubt is shown, and no alert is predicted."""
    site.configure()
    site.upload("well")
    site.answer("refused", 412, times=12)
    run_command("silence", "refused", "--for", "2h", "--reason", "we know", "--config", site.config)
    site.journal.append(
        "Suppressed 7 messages from cis490-receiver.service",
        unit="systemd-journald.service",
        _TRANSPORT="driver",
        MESSAGE_ID=DROPPED_ID,
    )
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: "1 gap" in service.notify.status, "the gap")
        service.until_evaluated_anew()
        # Too few to find it by; but were there only so few?
        site.configure("detectors.fatal-only.min_count = 13")
        service.reload()
        service.until_evaluated_anew()
        status = run_command("status", "--json", "--config", site.config)
        doubted = verdict(explain("refused", "--json"), "fatal-only")

    assert status.documents[0]["incidents_by_state"] == {"silenced": 1}
    assert status.status == 0
    assert doubted["is_found"] is False
    assert doubted["incident"]["reason"] == "silenced"
    assert doubted["next_alert_wall"] is None


def test_who_is_not_known_is_said(site: Site, explain: Callable[..., Finished], start_service: StartService) -> None:
    """An unknown host gets the nearest name as a suggestion. Without a service, the output says so."""
    site.configure('hosts.ignore = ["bench-*"]')
    site.upload("pi-12", "büro 1", "[::1]")
    site.answer("pi-12", 201)
    site.sync_journal()
    absent = explain("pi-12")
    with start_service(site) as service:
        service.until_evaluated_anew()
        near, far, raw = explain("pi-21"), explain("\x1b[31m"), explain("büro 1")
        glob, ignored = explain("[::1]"), explain("bench-7")

    assert (absent.status, "is not running" in absent.stderr) == (4, True)
    assert (near.status, near.stderr) == (2, "no host pi-21 is known; did you mean pi-12?\n")
    assert (raw.status, raw.stdout.partition("\n")[0]) == (0, "b%C3%BCro%201: well")
    assert (far.status, far.stderr) == (2, "no host %1B%5B31m is known\n")
    assert (glob.status, glob.stderr) == (2, "no host [::1] is known; did you mean %5B::1%5D?\n")
    assert (ignored.status, ignored.stderr) == (2, "host bench-7 is ignored: it matches `hosts.ignore`\n")


def test_a_learned_limit_is_explained_and_outlives_a_restart(
    site: Site, explain: Callable[..., Finished], start_service: StartService, run_command: RunCommand
) -> None:
    """It has its origin and a chart of the intervals. A restarted service still has it, although the rows are gone."""
    site.configure(
        'detectors.silent.cadence = "learned"\n[[overrides]]\nhosts = ["nightly"]\n'
        'detectors.silent.expected = "daily 02:00 +- 1h"'
    )
    now, hour = now_us(), 3_600_000_000
    for age in range(20 * 24, 0, -1):
        site.upload("hourly", at_us=now - age * hour)
    site.upload("new", "nightly", at_us=now)
    site.answer("new", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        first, fresh, scheduled = explain("hourly"), explain("new"), explain("nightly")
        status = run_command("status", "--config", site.config)
        assert service.stop() == 0
    site.index.write_bytes(b"".join(site.index.read_bytes().splitlines(keepends=True)[-3:]))
    with start_service(site) as service:
        service.until_evaluated_anew()
        second = explain("hourly", "--json").documents[0]

    words = "2 h 7 min, learned from 479 intervals: the longest usual one and half as much again (1 h)"
    assert words in " ".join(first.stdout.split())
    assert "up to 1h00m" in first.stdout
    assert second["silent_limit"]["words"] == words
    assert "30 min, not learned yet: it is known for less than half a day" in " ".join(fresh.stdout.split())
    assert "expected daily 02:00 +- 1h" in scheduled.stdout
    assert "~ silent after, by its own rhythm" in status.stdout
