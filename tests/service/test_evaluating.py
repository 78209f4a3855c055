"""One cause, one alert, and nothing claimed without evidence: a scenario of each in the real service."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from fleet_health.sources.journal.system_messages import DROPPED_ID
from tests.rig.site import now_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Service, Site, StartService

MINUTE = 60_000_000
UNIT = "cis490-receiver.service"
STARTED, STOPPED = "39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286"
HOSTS = ("a", "b", "c")


def systemd_says(site: Site, message: str, message_id: str, *, minutes_ago: float) -> None:
    """Append an entry of PID 1 about the receiver's unit."""
    site.journal.append(
        message,
        at_us=now_us() - round(minutes_ago * MINUTE),
        unit="init.scope",
        _PID="1",
        UNIT=UNIT,
        MESSAGE_ID=message_id,
    )


def test_a_failing_receiver_is_one_alert_until_it_resolves(site: Site, start_service: StartService) -> None:
    """Its hosts are inhibited and named, even after a restart. Incidents that outlast it are notified then."""
    site.configure("alerts.resolved = true")
    for host in HOSTS:
        site.answer(host, 503, times=12)
    site.sync_journal()
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "receiver-failing")], "the alert")
        service.until(lambda: "3 inhibited" in service.notify.status, "the status")
        service.until_evaluated_anew()
        service.process.kill()
        service.process.wait()
    with start_service(site) as service:
        service.until_ready()
        service.until_evaluated_anew()
        before = site.alerted()
        for number in range(4):
            site.answer(f"well-{number}", 201)
        site.sync_journal()
        service.until(lambda: len(site.alert_rows()) == 5, "the others")

    first, second, *others = site.alert_rows()
    assert before == [("*", "receiver-failing")]
    assert first["detail"].endswith("; inhibits 3 alerts: a fatal-only, b fatal-only, c fatal-only")
    assert (second["symptom"], second["status"]) == ("receiver-failing", "resolved")
    assert [(row["host"], row["symptom"]) for row in others] == [(host, "fatal-only") for host in HOSTS]
    assert others[0]["detected_at_wall"] > second["detected_at_wall"]


def test_without_detectors_of_the_receiver_its_hosts_are_notified(site: Site, start_service: StartService) -> None:
    """Each of the three symptoms is notified by itself."""
    site.configure("receiver.enabled = false")
    systemd_says(site, "Stopped Receiver.", STOPPED, minutes_ago=40)
    for host in HOSTS:
        site.answer(host, 503, times=12)
    site.sync_journal()
    site.upload(*HOSTS, minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: service.evaluations() > 0, "the alerts")
        service.until(lambda: len(site.alert_rows()) == 6, "the alerts")

    assert site.alerted() == sorted((host, symptom) for host in HOSTS for symptom in ("fatal-only", "silent"))


def test_a_receiver_that_systemd_has_stopped_is_down(site: Site, start_service: StartService) -> None:
    """The entry of systemd is enough while every host still looks well; the entry about the start resolves it."""
    site.configure("alerts.resolved = true")
    systemd_says(site, "Stopped Receiver.", STOPPED, minutes_ago=3)
    site.answer("a", 201, at_us=now_us() - 4 * MINUTE)
    site.sync_journal()
    site.upload("a", minutes_ago=4)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "receiver-down")], "the alert")
        systemd_says(site, "Started Receiver.", STARTED, minutes_ago=0)
        site.sync_journal()
        service.until(lambda: len(site.alert_rows()) == 2, "the end")

    assert site.alert_rows()[0]["detail"].startswith("systemd says that its unit stopped or failed at ")
    assert site.alert_rows()[1]["status"] == "resolved"


def test_a_receiver_is_down_if_its_index_is_missing_too(site: Site, start_service: StartService) -> None:
    """They may share a disk, so the entry of systemd is enough."""
    site.configure()
    systemd_says(site, "Stopped Receiver.", STOPPED, minutes_ago=3)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "receiver-down")], "the alert")
        status = service.until(lambda: service.notify.status.partition("not evaluated: ")[2], "the status")

    assert status.startswith("silent, never-seen, index-stalled, journal-lossy;")


def test_a_receiver_without_uploads_is_down(site: Site, start_service: StartService) -> None:
    """All hosts fell silent at once: one alert. A host that was silent before is notified by itself."""
    site.configure()
    site.answer("other", 201, at_us=now_us() - 50 * MINUTE)
    site.sync_journal()
    site.upload("before", minutes_ago=95)
    site.upload(*HOSTS, minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) == 2, "the alerts")
        service.until_evaluated_anew()

    assert site.alerted() == [("*", "receiver-down"), ("before", "silent")]
    assert site.alert_rows()[0]["detail"].endswith("; inhibits 3 alerts: a silent, b silent, c silent")


def test_a_stalled_index_is_notified(site: Site, start_service: StartService) -> None:
    """Uploads that the journal shows as accepted have no row."""
    site.configure()
    for host in HOSTS:
        site.answer(host, 201, times=3, at_us=now_us() - 10 * MINUTE)
    site.answer("well", 201)
    site.sync_journal()
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "index-stalled")], "the alert")

    assert "a, b, c" in site.alert_rows()[0]["detail"]


def test_a_journal_without_the_uploads_of_the_index_is_notified(site: Site, start_service: StartService) -> None:
    """Rows have no accepted upload in the journal."""
    site.configure()
    site.answer("well", 201, at_us=now_us() - 40 * MINUTE)
    site.answer("well", 201)
    site.sync_journal()
    site.upload(*HOSTS, minutes_ago=10)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "journal-lossy")], "the alert")

    assert "a, b, c" in site.alert_rows()[0]["detail"]


def test_in_a_gap_of_the_journal_the_index_decides_who_is_refused(site: Site, start_service: StartService) -> None:
    """A row refutes the finding, because the accepted upload was dropped. No incident resolves in such a window."""
    site.configure('alerts.resolved = true\n[detectors.fatal-only]\nwindow = "30m"\nmin_count = 3')
    for host in HOSTS:
        site.answer(host, 412, times=12, at_us=now_us() - 9 * MINUTE)
    site.journal.append(
        f"Suppressed 7 messages from {UNIT}",
        at_us=now_us() - 8 * MINUTE,
        unit="systemd-journald.service",
        _TRANSPORT="driver",
        MESSAGE_ID=DROPPED_ID,
    )
    site.sync_journal()
    site.upload("b", minutes_ago=7)
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) == 2, "the alerts")
        service.until(lambda: ", 1 gap" in service.notify.status, "the status")
        service.until_evaluated_anew()

    assert site.alerted() == [("a", "fatal-only"), ("c", "fatal-only")]


def test_an_alert_contains_its_evidence(site: Site, start_service: StartService) -> None:
    """The last accepted upload, the first refusal, counts and reason, sample lines, and the command for more."""
    site.configure()
    site.upload("refused", minutes_ago=40)
    site.answer("refused", 412, times=9)
    site.answer("refused", 503, times=3)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) == 2, "the alerts")

    for row in site.alert_rows():
        assert row["last_good_wall"] < row["first_bad_wall"] < row["detected_at_wall"]
        assert (row["responses"], row["reason"]) == ({"412": 9, "503": 3}, "412")
        assert [line.endswith('HTTP/1.1" 503') for line in row["samples"]] == [True] * 3
        assert row["command"].startswith(f"journalctl --unit={UNIT} --since=@")
        assert row["command"].endswith("--grep=refused")


def test_a_mute_window_suppresses_alerts_until_it_ends(site: Site, start_service: StartService) -> None:
    """The window ends with a reload. The status shows the incidents meanwhile."""
    site.configure('[[quiet]]\nfrom = "00:00"\nto = "00:00"')
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: "3 muted" in service.notify.status, "the status")
        service.until_evaluated_anew()
        before = site.alert_rows()
        site.configure('[[quiet]]\nfrom = "00:00"\nto = "00:00"\nhosts = ["ref*"]')
        service.reload()
        service.until(lambda: len(site.alerted()) == 2, "the alerts")

    assert before == []
    assert site.alerted() == [("quiet", "silent"), ("unstamped", "unstamped")]


def test_no_host_is_silent_while_the_index_cannot_be_read(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """A disk hangs, so rows may be missing: that is reported, and nothing else is."""
    site.configure('alerts.resolved = true\n[detectors.silent]\nafter = "2s"')
    hang = site.directory / "hang"
    code = f"""
import pathlib, time
from fleet_health.service import intake
from fleet_health.sources.index.tail import Tail

intake._POLL_TIME, read = 0.1, Tail.read

def read_when_it_can(tail):
    while pathlib.Path({str(hang)!r}).exists():
        time.sleep(0.01)
    return read(tail)

Tail.read = read_when_it_can
"""
    site.answer("busy", 201)
    site.sync_journal()
    site.upload("busy")
    with start_altered_service(site, code) as service:

        def upload_and_look(ends_at: int) -> bool:
            site.upload("busy")
            return service.evaluations() >= ends_at

        def evaluate_while_it_uploads(ticks: int) -> None:
            service.until(partial(upload_and_look, service.evaluations() + ticks), "some ticks")

        evaluate_while_it_uploads(1)
        hang.touch()
        evaluate_while_it_uploads(6)
        status = service.notify.status
        hang.unlink()
        evaluate_while_it_uploads(2)

    assert "not evaluated: silent" in status
    assert site.alert_rows() == []


@pytest.mark.parametrize(
    ("step", "what_it_does", "lacks"),
    [
        ("with_evidence", "raise RuntimeError('a slip')", ("command", "evidence")),
        ("with_samples", "raise RuntimeError('a slip')", ("samples", "sample lines")),
        ("with_samples", "time.sleep(20)", ("samples", "sample lines")),
    ],
)
def test_an_alert_does_not_wait_for_its_evidence(
    step: str,
    what_it_does: str,
    lacks: tuple[str, str],
    site: Site,
    start_altered_service: Callable[[Site, str], Service],
) -> None:
    """Whether evidence fails or hangs on a disk, the alert is sent without it, and that is logged."""
    key, words = lacks
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    code = f"""
import time
from fleet_health.service import ticker, witness

def fail(*_):
    {what_it_does}

witness.{step} = fail
ticker._WITNESS_TIME = 2
"""
    with start_altered_service(site, code) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        logged = service.events(f"alerts sent without {words}")

    assert len(logged) == 1
    assert all(key not in row for row in site.alert_rows())
