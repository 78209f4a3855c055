"""Absence that could not have been otherwise, and verdicts that the other source refutes (G7 to G9)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fleet_health.model.instant import isoformat
from tests.rig.site import now_us

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Service, Site, StartService

MINUTE = 60_000_000
HOUR_MINUTES = 60
UNIT = "cis490-receiver.service"
STARTED, STOPPED = "39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286"
HOSTS = ("a", "b")
LONG_QUIET = [("long%20quiet", "silent")]


def systemd_says(site: Site, *words: tuple[float, str]) -> None:
    """Append PID 1's words on the receiver, each so many minutes ago."""
    for minutes_ago, message_id in words:
        site.journal.append(
            "Started Receiver." if message_id == STARTED else "Stopped Receiver.",
            at_us=now_us() - round(minutes_ago * MINUTE),
            unit="init.scope",
            _PID="1",
            UNIT=UNIT,
            MESSAGE_ID=message_id,
        )


def upload(site: Site, *hosts: str, minutes_ago: float) -> None:
    """Upload as the receiver shows it in both sources; the journal must be written in order."""
    for host in hosts:
        site.answer(host, 201, at_us=now_us() - round(minutes_ago * MINUTE))
    site.upload(*hosts, minutes_ago=minutes_ago)


def open_incidents(service: Service, site: Site, run_command: RunCommand) -> list[tuple[str, str]]:
    """Return what is open after another evaluation."""
    service.until_evaluated_anew()
    document = run_command("status", "--json", "--config", site.config).documents[0]
    incidents = [one for host in document["hosts"] for one in host["incidents"]] + document["fleet_incidents"]
    return sorted((one["host"], one["symptom"]) for one in incidents)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Nobody tells since when the receiver was down.
        pytest.param([(190, STARTED), (0.01, STARTED)], [], id="a power cut"),
        pytest.param([(180, STOPPED), (0.01, STARTED)], LONG_QUIET, id="three hours' maintenance"),
        pytest.param([(180, STOPPED), (100, STARTED), (90, STOPPED), (0.01, STARTED)], LONG_QUIET, id="stopped twice"),
    ],
)
@pytest.mark.fault("G7", rig="R3", says="just after the receiver started nobody is blamed, in service and check alike")
def test_G7_just_after_the_receiver_started(
    words: list[tuple[float, str]],
    expected: list[tuple[str, str]],
    site: Site,
    start_service: StartService,
    run_command: RunCommand,
) -> None:
    """Hosts have their whole time from the start on; who was silent before that stays so."""
    site.upload("long quiet", minutes_ago=5 * HOUR_MINUTES)
    upload(site, *HOSTS, minutes_ago=181)
    systemd_says(site, *words)
    site.sync_journal()
    checked = run_command("check", "--config", site.config, "--dry-run", "--json").documents
    with start_service(site) as service:
        found = open_incidents(service, site, run_command)
        explained = run_command("explain", "a", "--config", site.config).stdout

    assert found == expected
    assert [(one["host"], one["symptom"]) for one in checked if "host" in one] == found
    assert "the receiver started" in explained


@pytest.mark.fault("G22", rig="R3", says="the receiver was stopped when a host was expected; service and check alike")
def test_G22_a_time_that_passed_while_the_receiver_was_stopped(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """It is expected at its next time only; whose time passed while the receiver ran is silent."""
    rules = '[[overrides]]\nhosts = ["{}"]\ndetectors.silent.expected = "daily {:%H:%M} +- 10m"\n'
    present = datetime.now(UTC)
    site.configure(
        rules.format("skipped", present - timedelta(minutes=110))
        + rules.format("missed", present - timedelta(minutes=160))
    )
    site.upload("skipped", "missed", minutes_ago=25 * HOUR_MINUTES)
    systemd_says(site, (130, STOPPED), (85, STARTED))
    upload(site, "well", minutes_ago=1)
    site.sync_journal()
    checked = run_command("check", "--config", site.config, "--dry-run", "--json").documents
    with start_service(site) as service:
        found = open_incidents(service, site, run_command)

    assert found == [("missed", "silent")]
    assert [(one["host"], one["symptom"]) for one in checked if "host" in one] == found


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([(26 * 60 - 0.01, STOPPED), (0, STARTED)], id="it was stopped"),
        pytest.param([(0, STARTED)], id="a power cut on a machine of its own, of which nobody tells when"),
    ],
)
@pytest.mark.fault("G7", rig="R3", says="who stays away after the receiver started is alerted in time, and never lost")
def test_G7_who_stays_away_after_an_outage_is_alerted(
    words: list[tuple[float, str]], site: Site, start_service: StartService
) -> None:
    """Also after an outage that is longer than the lookback, by the state of before; who comes back in time is not."""
    site.configure('[detectors.silent]\nafter = "4s"\nlookback = "20s"')
    upload(site, *HOSTS, minutes_ago=0)
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        service.stop()
    state = json.loads((path := site.directory / "state" / "state.json").read_bytes())
    outage = 26 * 60 * MINUTE
    for values in (state["uploads"], state["incidents"]):
        values.update({name: at - outage for name, at in values.items() if isinstance(at, int)})
    state["incidents"].update(open=[], dedup_keys={})
    state["journal_seen_until"] = None
    path.write_text(json.dumps(state))
    site.index.write_bytes(b"")
    site.alerts.unlink(missing_ok=True)
    site.journal_name = "later.journal"
    (site.journal_directory / "receiver.journal").unlink()
    systemd_says(site, *words)
    site.sync_journal()
    with start_service(site) as service:
        service.do_until(
            lambda: site.accept("b"), lambda: ("a", "silent") in site.alerted(), "the alert of who stays away"
        )

    assert site.alerted() == [("a", "silent")]


@pytest.mark.fault("G7", rig="R3", says="a unit that starts again and again is down, and its hosts are not blamed")
def test_G7_a_receiver_that_keeps_failing(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """It looks up; the silence of both hosts is its fault."""
    upload(site, *HOSTS, minutes_ago=40)
    for number in range(60, 0, -1):
        systemd_says(site, (number / 2 + 0.1, STARTED), (number / 2, STOPPED))
    systemd_says(site, (0.01, STARTED))
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "receiver-down")], "the alert")
        found = open_incidents(service, site, run_command)

    assert site.alerted() == [("*", "receiver-down")]
    assert ("*", "receiver-down") in found
    assert site.alert_rows()[0]["detail"].startswith("systemd says that its unit started ")


@pytest.mark.fault("G8", rig="R3", says="after a mute window hosts have their whole time; also in check and replay")
def test_G8_the_morning_after_a_mute_window(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """Hosts that are off over night are not silent just as the window ends."""
    hour = 60 * MINUTE
    end = now_us() // MINUTE * MINUTE  # by whole minutes, as a window is written
    begins, ends = (f"{at // hour % 24:02}:{at // MINUTE % 60:02}" for at in (end - 14 * hour, end))
    site.configure(f'[[quiet]]\nfrom = "{begins}"\nto = "{ends}"')
    since = (now_us() - end) / MINUTE
    site.upload(*HOSTS, minutes_ago=14 * 60 + since + 5)
    site.upload("long quiet", minutes_ago=14 * 60 + since + 45)
    site.answer("other", 412)
    site.sync_journal()
    checked = run_command("check", "--config", site.config, "--dry-run", "--json").documents
    replayed = run_command("replay", "--config", site.config, "--since", "2m", "--json").documents[0]
    with start_service(site) as service:
        found = open_incidents(service, site, run_command)

    assert found == LONG_QUIET
    assert [(one["host"], one["symptom"]) for one in checked if "host" in one] == found
    assert {(one["host"], one["symptom"]) for one in replayed["incidents"]} == set(found)


@pytest.mark.parametrize("hosts", [("a",), ("a", "b"), ("a", "b", "c", "d")])
@pytest.mark.fault(
    "G9", rig="R3", says="while the journal shows uploads, rows that stopped are the index's fault alone"
)
def test_G9_uploads_without_rows(
    hosts: tuple[str, ...], site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The index was rotated outside, or its disk is full: no host is silent, and the receiver is not down."""
    site.upload(*hosts, minutes_ago=120)
    for minutes_ago in (20, 15, 10, 5):
        for host in hosts:
            site.answer(host, 201, at_us=now_us() - minutes_ago * MINUTE)
    site.sync_journal()
    checked = run_command("check", "--config", site.config, "--dry-run", "--json").documents
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "index-stalled")], "the alert")
        found = open_incidents(service, site, run_command)

    assert found == [("*", "index-stalled")]
    assert [(one["host"], one["symptom"]) for one in checked if "host" in one] == found


@pytest.mark.fault("G9", rig="service", says="a 2xx resolves `silent` while the index is not there")
def test_G9_a_host_that_uploads_while_the_index_is_gone(site: Site, start_service: StartService) -> None:
    """Nobody can be found silent then, but the journal shows that it is back."""
    site.configure("alerts.resolved = true")
    site.begin_journal()
    site.sync_journal()
    site.upload("a", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("a", "silent")], "the alert")
        assert service.stop() == 0
    site.index.rename(site.directory / "elsewhere")
    with start_service(site) as service:
        service.until(lambda: "not evaluated: silent" in service.notify.status, "the status")
        site.answer("a", 201)
        site.sync_journal()
        service.until(lambda: len(site.alert_rows()) == 2, "the resolution")
        status = service.notify.status

    assert site.alert_rows()[1]["status"] == "resolved"
    assert "not evaluated: silent" in status


@pytest.mark.fault(
    "G9", rig="R3", says="rows that come now and are dated long ago are named, in alert, status and check"
)
def test_G9_rows_in_a_wrong_time_zone(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """The alert leads to the receiver's clock."""
    site.upload("a", minutes_ago=120)
    with start_service(site) as service:
        service.until_ready()
        site.upload("a", minutes_ago=120)
        service.until(lambda: "rows dated 2 h before they were written" in service.notify.status, "the status")
        for minutes_ago in (12, 8, 4):
            site.answer("a", 201, at_us=now_us() - minutes_ago * MINUTE)
        site.sync_journal()
        service.until(lambda: ("*", "index-stalled") in site.alerted(), "the alert")
    checked = run_command("check", "--config", site.config, "--dry-run", "--json").documents

    details = [row["detail"] for row in (*site.alert_rows(), *checked) if row.get("symptom") == "index-stalled"]
    assert len(details) == 2
    assert all("; rows do come, but are dated " in detail for detail in details)


@pytest.mark.fault("G9", rig="service", says="rows alone show that a receiver that failed works again")
def test_G9_a_failing_receiver_of_which_the_journal_shows_only_refusals(
    site: Site, start_service: StartService
) -> None:
    """A proxy in front of it logs no success, so a 2xx never comes."""
    site.configure('alerts.resolved = true\nreceiver.failing.window = "3s"\ndetectors.journal-lossy.enabled = false')
    site.begin_journal()
    with start_service(site) as service:
        service.until_ready()
        for host in ("a", "b", "c"):
            site.answer(host, 503)
        site.sync_journal()
        service.until(lambda: site.alerted() == [("*", "receiver-failing")], "the alert")
        service.do_until(lambda: site.upload("a", "b", "c"), lambda: len(site.alert_rows()) > 1, "the resolution")

    assert [row["status"] for row in site.alert_rows()[1:]] == ["resolved"]


WINDOWS = ("fatal-only.window", "unstamped.window", "index-stalled.window", "journal-lossy.window")


def limits(window: str) -> str:
    """Write limits by which the journal is read so far back, and a host is silent after 10 min."""
    windows = (f'detectors.{key} = "{window}"' for key in WINDOWS)
    return "\n".join((*windows, f'receiver.failing.window = "{window}"', 'detectors.silent.after = "10m"'))


@pytest.mark.fault("G9", rig="R3", says="a host that only the journal shows is watched, in service, check and replay")
def test_G9_a_host_without_a_row_is_watched(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """It is silent like any other, is known after a restart that reads less of the journal, and resolves."""
    site.configure(limits("1h") + "\nalerts.resolved = true")
    site.begin_journal()
    accepted_at = now_us() - 25 * MINUTE
    site.answer("rowless", 201, at_us=accepted_at)
    site.answer("well", 201)
    site.upload("well")
    site.sync_journal()
    checked = run_command("check", "--config", site.config, "--dry-run", "--json").documents
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("rowless", "silent")], "the alert")
        service.stop()
    site.configure(limits("12m") + "\nalerts.resolved = true")
    rechecked = run_command("check", "--config", site.config, "--dry-run", "--json").documents
    with start_service(site) as service:
        found = open_incidents(service, site, run_command)
        document = run_command("status", "rowless", "--json", "--config", site.config).documents[0]
        site.answer("rowless", 201)
        site.sync_journal()
        service.until(lambda: len(site.alert_rows()) == 2, "the resolution")
    site.configure(limits("1h"), tick="5m")
    replayed = json.loads(run_command("replay", "--since", "20m", "--json", "--config", site.config).stdout)

    assert [(one["host"], one["symptom"]) for one in (*checked, *rechecked) if "host" in one] == 2 * found
    assert found == [("rowless", "silent")]
    assert document["hosts"][0]["last_upload_wall"] == isoformat(accepted_at)
    assert site.alert_rows()[1]["status"] == "resolved"
    assert ("rowless", "silent") in {(one["host"], one["symptom"]) for one in replayed["incidents"]}


@pytest.mark.fault("G9", rig="R3", says="an index that has stalled is found from one host on that uploads once an hour")
def test_G9_an_index_that_stalled_for_hours(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """What was accepted before the window is remembered over a restart; the next row ends it."""
    site.configure(limits("150m"))
    site.begin_journal()
    site.upload("hourly", minutes_ago=190)
    for minutes_ago in (130, 70):
        site.answer("hourly", 201, at_us=now_us() - minutes_ago * MINUTE)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("hourly", "silent")], "the alert")
        service.stop()
    site.configure(limits("30m"))
    site.answer("hourly", 201, at_us=now_us() - 5 * MINUTE)
    site.sync_journal()
    checked = run_command("check", "--config", site.config, "--dry-run", "--json").documents
    with start_service(site) as service:
        service.until(lambda: ("*", "index-stalled") in site.alerted(), "the alert")
        site.answer("hourly", 201)
        site.sync_journal()
        site.upload("hourly")
        found = service.until(lambda: not open_incidents(service, site, run_command) or None, "the end")

    assert found
    assert [(one["host"], one["symptom"]) for one in checked if "host" in one] == [("*", "index-stalled")]


@pytest.mark.fault("G20", rig="R3", says="who is due while nobody uploads waits for the receiver's verdict")
def test_G20_a_receiver_that_hangs(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """Not notified in service, check or replay, until another host's upload shows that the receiver is at work."""
    site.configure(tick="1m")
    site.begin_journal()
    upload(site, "slow", minutes_ago=33)
    upload(site, "a", "b", "c", minutes_ago=20)
    site.sync_journal()
    checked = run_command("check", "--config", site.config, "--json").documents
    replayed = run_command("replay", "--config", site.config, "--since", "10m", "--json").documents[0]
    site.configure()
    with start_service(site) as service:
        found = open_incidents(service, site, run_command)
        shown = run_command("explain", "slow", "--config", site.config).stdout
        before = site.alerted()
        site.upload("a")
        service.until(lambda: site.alerted() == [("slow", "silent")], "the alert of who is silent")

    assert found == [("slow", "silent")]
    assert [one["decision"]["state"] for one in checked if "host" in one] == ["pending"]
    assert [(one["host"], one["reason"]) for one in replayed["incidents"]] == [
        ("slow", "its cause may be the receiver")
    ]
    assert "the receiver may be the cause" in shown
    assert before == []


@pytest.mark.fault("G20", rig="R3", says="a hang is one incident, though some hosts cannot be late yet")
@pytest.mark.parametrize(
    ("limits", "minutes_ago"),
    [
        pytest.param(
            '[[overrides]]\nhosts = ["e"]\ndetectors.silent.after = "2h"', 31, id="one host has a longer limit"
        ),
        pytest.param(
            'detectors.silent.after = "6h"\n[[overrides]]\nhosts = ["[a-d]"]\ndetectors.silent.after = "10m"',
            11,
            id="the default is that of one host",
        ),
        pytest.param(
            'detectors.silent.after = "30m"\n[[overrides]]\nhosts = ["[ab]"]\ndetectors.silent.after = "10m"',
            31,
            id="some hosts have a shorter limit",
        ),
    ],
)
def test_G20_a_hang_is_one_incident_whatever_the_limits(
    limits: str, minutes_ago: int, site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """No host is blamed, in the service and by replay from the last upload on."""
    site.configure(limits, tick="1m")
    site.begin_journal()
    upload(site, *"abcde", minutes_ago=minutes_ago)
    site.sync_journal()
    replayed = run_command("replay", "--config", site.config, "--since", "31m", "--json").documents[0]
    site.configure(limits)
    with start_service(site) as service:
        service.until(site.alerted, "an alert")
        service.until_evaluated_anew()

    assert site.alerted() == [("*", "receiver-down")]
    assert [one["symptom"] for one in replayed["incidents"] if one["alerts"]] == ["receiver-down"]
