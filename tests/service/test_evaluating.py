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
    """Append PID 1's word on the receiver."""
    site.journal.append(
        message,
        at_us=now_us() - round(minutes_ago * MINUTE),
        unit="init.scope",
        _PID="1",
        UNIT=UNIT,
        MESSAGE_ID=message_id,
    )


def test_a_failing_receiver_is_one_alert_until_it_is_over(site: Site, start_service: StartService) -> None:
    """Its hosts are inhibited and named, over a restart too; those that outlive it are notified then."""
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


def test_without_the_receivers_detectors_the_hosts_are_told_of(site: Site, start_service: StartService) -> None:
    """Then there are the three symptoms alone, each by itself."""
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
    """By systemd's word alone, while every host still looks well; and it is over when systemd has started it."""
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


def test_a_receiver_is_down_though_its_index_is_gone_with_it(site: Site, start_service: StartService) -> None:
    """They may have shared a disk: systemd's word is enough."""
    site.configure()
    systemd_says(site, "Stopped Receiver.", STOPPED, minutes_ago=3)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "receiver-down")], "the alert")
        status = service.until(lambda: service.notify.status.partition("not evaluated: ")[2], "the status")

    assert status.startswith("silent, never-seen, index-stalled, journal-lossy;")


def test_a_receiver_that_nobody_reaches_is_down(site: Site, start_service: StartService) -> None:
    """All fell silent at once: one alert. Who had been silent before is notified by himself."""
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


def test_an_index_that_has_stopped_is_told_of(site: Site, start_service: StartService) -> None:
    """Uploads that the journal accepted are in no row."""
    site.configure()
    for host in HOSTS:
        site.answer(host, 201, times=3, at_us=now_us() - 10 * MINUTE)
    site.answer("well", 201)
    site.sync_journal()
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "index-stalled")], "the alert")

    assert "a, b, c" in site.alert_rows()[0]["detail"]


def test_a_journal_that_lacks_what_the_index_has_is_told_of(site: Site, start_service: StartService) -> None:
    """Rows without an acceptance."""
    site.configure()
    site.answer("well", 201, at_us=now_us() - 40 * MINUTE)
    site.answer("well", 201)
    site.sync_journal()
    site.upload(*HOSTS, minutes_ago=10)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "journal-lossy")], "the alert")

    assert "a, b, c" in site.alert_rows()[0]["detail"]


def test_where_the_journal_is_not_whole_the_index_decides_who_is_refused(
    site: Site, start_service: StartService
) -> None:
    """A row says that an acceptance was dropped; without one, the finding stands. Nothing ends in such a window."""
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


def test_an_alert_brings_its_evidence(site: Site, start_service: StartService) -> None:
    """When it was well last, what went wrong first, how often and why; some lines, and the command for the rest."""
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


def test_in_a_quiet_window_nothing_is_told_and_afterwards_what_still_stands(
    site: Site, start_service: StartService
) -> None:
    """Here the window ends with a reload; what is found in it stands in the status."""
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


def test_nobody_is_silent_while_the_index_takes_too_long_to_read(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """A disk hangs, and the rows that are there cannot be seen: that is said, and nothing else is."""
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
    """Whether that fails or hangs on a disk, the alert is given without it, and that is said."""
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
