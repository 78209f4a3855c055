"""S12: killed between the sync of an alert and its sending, on a real journald. The journal gets it, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from systemd import journal

from fleet_health.alerting.alert import RESOLVED, Alert, Notice
from fleet_health.alerting.evidence import Evidence
from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import HOUR_US, isoformat
from fleet_health.parsing.alert_row import parse_whole_row
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import MESSAGE_IDS, fields_of
from fleet_health.service.catch_up import recorded
from fleet_health.sources.journal.own_entries import OwnEntries
from tests.faults.conftest import journald, stopped_journald
from tests.faults.private_journald import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Eventually, Finished, Service, Site, StartService
    from tests.faults.private_journald import PrivateJournald

__all__ = ["journald", "stopped_journald"]  # rig R1, as fixtures

NOBODY = 65_534
COMPARED = "recorded alerts sent that the journal lacked"

# Killed when the alerts are in the alert log and synced, and not yet handed to the socket.
DIE_BEFORE_SENDING = """
import os, signal
from fleet_health.records.journal_sink import JournalSink

def die(self, alerts):
    if list(alerts):
        os.kill(os.getpid(), signal.SIGKILL)

JournalSink.take = die
"""


@pytest.fixture
def journal_site(site: Site, journald: PrivateJournald) -> Site:
    """Let what is sent to this machine's journal go to the private journald, and show all symptoms."""
    place = Path("/run/systemd/journal")
    place.mkdir(parents=True, exist_ok=True)
    (place / "socket").symlink_to(f"/run/systemd/journal.{NAME}/socket")
    assert journald.pid
    site.show_all_symptoms()
    site.sync_journal()
    return site


def entries(journald: PrivateJournald, **fields: str) -> list[dict[str, Any]]:
    """Return the alerts in the journal."""
    journald.sync()
    with journal.Reader(path=str(journald.directory)) as reader:
        for message_id in MESSAGE_IDS.values():
            reader.add_match(MESSAGE_ID=message_id)
        for name, value in fields.items():
            reader.add_match(**{name: value})
        return list(reader)


def sent(journald: PrivateJournald) -> list[tuple[str, str]]:
    """Return host and symptom of each of our alerts in the journal, in order."""
    return sorted((entry["FLEET_HOST"], entry["FLEET_SYMPTOM"]) for entry in entries(journald, _UID=str(os.getuid())))


def send_as_nobody(fields: dict[str, str]) -> None:
    """Send an entry as a stranger."""
    datagram = b"".join(f"{name}={value}\n".encode() for name, value in fields.items())
    code = (
        "import os, socket, sys; os.setresuid(65534, 65534, 65534)\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.sendto(sys.stdin.buffer.read(), '/run/systemd/journal/socket')"
    )
    subprocess.run([sys.executable, "-c", code], input=datagram, check=True)


def killed_before_sending(
    site: Site, start: Callable[[Site, str], Service], eventually: Eventually, journald: PrivateJournald
) -> None:
    """Run a service until it is killed so."""
    with start(site, DIE_BEFORE_SENDING) as killed:
        eventually(lambda: killed.process.poll() is not None, "the death")
        assert killed.process.returncode == -signal.SIGKILL
    assert site.alerted() == site.EVERY_ALERT
    assert sent(journald) == []  # the control: it is lost to the journal


@pytest.mark.fault("S12", rig="R1")
def test_S12_alerts_that_were_never_sent_are_sent_after_the_start(
    journal_site: Site,
    journald: PrivateJournald,
    start_service: StartService,
    start_altered_service: Callable[[Site, str], Service],
    eventually: Eventually,
) -> None:
    """Each once; as they would have been; and no restart after that sends them again."""
    killed_before_sending(journal_site, start_altered_service, eventually, journald)
    with start_service(journal_site) as service:
        (logged,) = service.until(lambda: service.events(COMPARED), "the comparison")
        eventually(lambda: sent(journald) == journal_site.EVERY_ALERT, "the entries")
        assert logged["count"] == 3
        service.until_evaluated_anew()
        service.stop()
    rows = {(row["host"], row["symptom"]): row for row in journal_site.alert_rows()}
    for entry in entries(journald):
        row = rows[entry["FLEET_HOST"], entry["FLEET_SYMPTOM"]]
        assert entry["FLEET_DEDUP_KEY"] == row["dedup_key"]
        assert entry["FLEET_DETECTED_AT_WALL"] == row["detected_at_wall"]
        assert entry["FLEET_DETAIL"] == row["detail"]
        assert entry.get("FLEET_SAMPLES", "") == "\n".join(row.get("samples", []))

    for _ in range(2):
        with start_service(journal_site) as service:
            service.until(lambda: journald.has(_PID=str(service.process.pid)), "the mark")
            service.until_evaluated_anew()
            service.stop()
            assert service.events(COMPARED) == []
    assert sent(journald) == journal_site.EVERY_ALERT


@pytest.mark.fault("S12", rig="R1")
def test_S12_a_strangers_entry_suppresses_none(
    journal_site: Site,
    journald: PrivateJournald,
    start_service: StartService,
    start_altered_service: Callable[[Site, str], Service],
    eventually: Eventually,
) -> None:
    """Whoever may write to the journal, and that is everybody, has sent our alerts word for word meanwhile."""
    killed_before_sending(journal_site, start_altered_service, eventually, journald)
    for row in journal_site.alert_rows():
        parsed = parse_whole_row(json.dumps(row).encode())
        assert parsed is not None
        send_as_nobody({name: value for name, value in fields_of(parsed[0]).items() if "\n" not in value})
    eventually(lambda: len(entries(journald, _UID=str(NOBODY))) == 3, "the stranger's entries")

    with start_service(journal_site):
        eventually(lambda: sent(journald) == journal_site.EVERY_ALERT, "our own entries")


@pytest.mark.fault("S12", rig="R1")
def test_S12_a_check_sends_what_a_killed_service_has_not(  # noqa: PLR0917 - fixtures
    journal_site: Site,
    journald: PrivateJournald,
    check: Callable[..., Finished],
    start_service: StartService,
    start_altered_service: Callable[[Site, str], Service],
    eventually: Eventually,
) -> None:
    """Unless a service runs, which does that itself: two of them would send everything twice."""
    killed_before_sending(journal_site, start_altered_service, eventually, journald)
    assert check().status == 0
    assert sent(journald) == journal_site.EVERY_ALERT
    assert check().status == 0
    with start_service(journal_site) as service:
        service.until_ready()
        assert check().status == 0
        service.until(lambda: journald.has(_PID=str(service.process.pid)), "the mark")
        service.until_evaluated_anew()

    assert sent(journald) == journal_site.EVERY_ALERT


@pytest.mark.fault("S12", rig="R1")
def test_S12_where_the_journal_cannot_be_read_nothing_is_sent_twice(
    journal_site: Site, journald: PrivateJournald, start_service: StartService, eventually: Eventually
) -> None:
    """It is said, once; the entries are there, and out of sight."""
    with start_service(journal_site) as service:
        service.until(lambda: journal_site.alerted() == journal_site.EVERY_ALERT, "the alerts")
        eventually(lambda: sent(journald) == journal_site.EVERY_ALERT, "the entries")
        service.stop()
    hidden = journald.directory.with_name("hidden")
    subprocess.run(["mount", "--bind", _empty(hidden), journald.directory], check=True)
    try:
        with start_service(journal_site) as service:
            (logged,) = service.until(
                lambda: service.events("alert log and journal not compared, alerts may be missing in the journal"),
                "that it cannot be read",
            )
            assert "systemd-journal" in logged["reason"]
            service.until_evaluated_anew()
            service.stop()
            assert service.events(COMPARED) == []
    finally:
        subprocess.run(["umount", journald.directory], check=True)
    assert sent(journald) == journal_site.EVERY_ALERT


def _empty(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.fault("S12", rig="R1")
def test_S12_a_journald_that_is_behind_is_waited_for(
    journal_site: Site, journald: PrivateJournald, start_service: StartService, eventually: Eventually
) -> None:
    """What is still in its socket when the service starts again is not taken to be missing."""
    with start_service(journal_site) as service:
        os.kill(journald.pid, signal.SIGSTOP)
        try:
            service.until(lambda: journal_site.alerted() == journal_site.EVERY_ALERT, "the alerts")
            service.until_evaluated_anew()
            service.process.kill()
            service.process.wait()
            with start_service(journal_site) as second:
                second.until_ready()
                second.until_evaluated_anew()
                os.kill(journald.pid, signal.SIGCONT)
                second.until(lambda: journald.has(_PID=str(second.process.pid)), "the mark")
                second.until_evaluated_anew()
        finally:
            os.kill(journald.pid, signal.SIGCONT)

    eventually(lambda: sent(journald) == journal_site.EVERY_ALERT, "the entries")


AT = 1_795_000_000_000_000 // HOUR_US * HOUR_US + 5


def alert(**changes: Any) -> Alert:
    """Make an alert with all its evidence."""
    evidence = Evidence(AT - 10, AT - 3, {412: 3, 500: 1}, 2, "412", [r"a \x24b"])
    return Alert(
        Finding("pi-01", "fatal-only", "it is refused", "look"), AT, evidence, "journalctl --unit=x", **changes
    )


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(alert(), id="an alert with its evidence"),
        pytest.param(Alert(Finding("*", "blind", "x", "y"), AT), id="one without"),
        pytest.param(Notice(RESOLVED, "pi-01", "silent", AT - HOUR_US, AT, AT), id="a notice"),
    ],
)
def test_an_entry_made_again_from_its_row_is_the_same(entry: Alert | Notice) -> None:
    """Field by field."""
    parsed = parse_whole_row(json.dumps(entry.row()).encode())
    assert parsed is not None

    assert fields_of(parsed[0]) == fields_of(entry)
    assert parsed[1] == AT


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"host": "another"}, id="a key of another host"),
        pytest.param({"host": "$(id)"}, id="a host that no host is called"),
        pytest.param({"symptom": "hungry"}, id="an unknown symptom"),
        pytest.param({"detail": "x" * 100_000}, id="a detail without end"),
        pytest.param({"samples": ["x"] * 100}, id="samples without end"),
        pytest.param({"detected_at_wall": "2036-01-01T00:00:00+00:00"}, id="a row of the future"),
        pytest.param({"status": "forged"}, id="an unknown status"),
        pytest.param({"status": "resolved"}, id="a notice of an earlier release"),
        pytest.param({"responses": {"412": "many"}}, id="counts of no kind"),
    ],
)
def test_a_row_that_was_not_written_by_us_is_not_sent(change: dict[str, Any], tmp_path: Path) -> None:
    """It may be there to have us say what is not so."""
    log = tmp_path / "alerts.jsonl"
    log.write_text(json.dumps(alert().row() | change) + "\n" + json.dumps(alert().row()) + "\n")

    assert recorded(AlertLog(log), AT + 1, None) == recorded(AlertLog(log), AT + 1, AT) == [alert()]


def test_rows_of_another_users_file_are_not_sent(public_directory: Path, as_nobody: Callable[[], Any]) -> None:
    """In the receiver's directory, its user could have put it there."""
    log = public_directory / "alerts.jsonl"
    log.write_text(json.dumps(alert().row()) + "\n")
    for owner in (64_999, NOBODY):
        os.chown(public_directory, owner, owner)
        os.chown(log, owner, owner)
        with as_nobody():
            assert bool(recorded(AlertLog(log), AT + 1, None)) == (owner == NOBODY)


def test_what_the_journal_no_longer_shows_is_taken_to_be_sent() -> None:
    """A vacuum must not have alerts mailed again."""
    held = OwnEntries(begins_at=AT, keys={("a", isoformat(AT))})

    assert held.knows("x", AT - 1)
    assert not held.knows("x", AT)
    assert held.knows("a", AT)
    assert not held.knows("a", AT + 1)  # another incident of the same hour
