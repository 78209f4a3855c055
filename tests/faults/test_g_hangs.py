"""G15, G16: a disk or a network mount hangs. What touches it does not return, and may not even be killed."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.rig.patience import PATIENCE_S, POLL_S, Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import HangingMount, Service, Site
    from tests.rig.alert_journal import AlertJournal


StartHurried: TypeAlias = "Callable[..., Service]"


@pytest.fixture
def start_hurried(alert_journal: AlertJournal, start_altered_service: Callable[[Site, str], Service]) -> StartHurried:
    """Start a service that waits a second for a disk, feeds a watchdog, and sends its alerts to `journald`."""
    code = """
import os
from fleet_health.daemon import composition
from fleet_health.files import hanging_calls
from fleet_health.records.journal_sink import JournalSink

hanging_calls.LIMIT_S = {limit_s}
composition._LAST_LOOK_TIME = composition._SETTLE_TIME = 1.5
os.environ["WATCHDOG_USEC"] = "1500000"
JournalSink.__init__.__defaults__ = ({path!r},)
"""

    def start(site: Site, limit_s: float = 1.0) -> Service:
        return start_altered_service(site, code.format(limit_s=limit_s, path=str(alert_journal.path)))

    return start


def until_fed_again(service: Service) -> None:
    """Wait until the watchdog is fed, and fed once more."""
    fed = len(service.notify.having("WATCHDOG"))
    service.until(lambda: len(service.notify.having("WATCHDOG")) > fed + 1, "WATCHDOG=1")


@pytest.fixture
def mounted(site: Site, hanging_mount: HangingMount) -> HangingMount:
    """Have the index on a mount that can hang, and every symptom shown."""
    site.index = hanging_mount.path / "index.jsonl"
    site.configure('blind_after = "1s"')
    site.show_all_symptoms()
    site.sync_journal()
    return hanging_mount


FROM_JOURNAL = [("refused", "fatal-only"), ("unstamped", "unstamped")]
BLIND = ("*", "blind")


def is_gone(service: Service) -> bool:
    """Return whether a service has ended, but for threads that the kernel cannot end yet."""
    try:
        return "State:\tZ" in Path(f"/proc/{service.process.pid}/status").read_text()
    except FileNotFoundError:
        return True


def stop(service: Service, mount: HangingMount) -> int:
    """End a service in an orderly way while the mount hangs; return its exit status."""
    service.process.send_signal(signal.SIGTERM)
    patience = Patience()
    while not is_gone(service):
        assert patience.is_left, service.stderr
        time.sleep(POLL_S)
    mount.go_on()
    return service.process.wait(PATIENCE_S)


@pytest.mark.fault("G15", rig="FUSE", says="the index's mount hangs at the start")
def test_G15_an_index_that_hangs_at_the_start_is_a_source_that_is_away(
    site: Site, mounted: HangingMount, start_hurried: StartHurried
) -> None:
    """READY comes, the journal's hosts are evaluated, `blind` is alerted, the watchdog is fed; then it is read."""
    mounted.hang()
    with start_hurried(site) as service, mounted:
        service.until_ready()
        service.until(lambda: site.alerted() == sorted([BLIND, *FROM_JOURNAL]), "the alerts without the index")
        until_fed_again(service)
        status = service.notify.status
        mounted.go_on()
        service.until(lambda: ("quiet", "silent") in site.alerted(), "the alert that needs the index")
        service.until(lambda: "index following" in service.notify.status, "the status")

        assert "index failing" in status
        assert "no response for 1 s" in status
        assert service.stop() == 0


@pytest.mark.fault("G15", rig="FUSE", says="the index's mount hangs while it is followed")
def test_G15_an_index_that_hangs_later_is_read_on_where_it_stopped(
    site: Site, mounted: HangingMount, start_hurried: StartHurried
) -> None:
    """One thread waits for it, however often it is looked at; nothing is read twice, and nothing lost."""
    with start_hurried(site) as service, mounted:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        mounted.hang()
        service.until(lambda: BLIND in site.alerted(), "the alert")
        for _ in range(5):
            service.until_evaluated_anew()
        until_fed_again(service)
        hung = hung_threads(service)
        mounted.go_on()
        service.until(lambda: "index following" in service.notify.status, "the status")
        site.upload("quiet-too", minutes_ago=40)
        service.until(lambda: ("quiet-too", "silent") in site.alerted(), "the alert of what came later")
        caught_up = service.events("source caught up")[-1]

        assert hung == 1
        assert (caught_up["source"], caught_up["read"]) == ("index", 2)
        assert service.stop() == 0


@pytest.mark.fault("G15", rig="FUSE", says="the journal's disk hangs, at the start and later")
def test_G15_a_journal_that_hangs_is_a_source_that_is_away(
    site: Site, hanging_mount: HangingMount, start_hurried: StartHurried
) -> None:
    """READY comes, the index's hosts are evaluated, `blind` is alerted, the watchdog is fed; then it is read."""
    site.journal_directory = hanging_mount.behind / "journal"  # journal files want to be mapped while they are written
    site.show_all_symptoms()
    site.sync_journal()
    site.configure('blind_after = "1s"', journal=hanging_mount.path / "journal")
    hanging_mount.hang()
    with start_hurried(site) as service, hanging_mount:
        service.until_ready()
        service.until(lambda: site.alerted() == sorted([BLIND, ("quiet", "silent")]), "the alerts without the journal")
        until_fed_again(service)
        at_the_start = service.notify.status
        hanging_mount.go_on()
        service.until(lambda: site.alerted() == sorted([BLIND, *site.EVERY_ALERT]), "the alerts of the journal")
        hanging_mount.hang()
        service.until(lambda: "journal failing" in service.notify.status, "the status")
        site.upload("quiet-too", minutes_ago=40)
        service.until(lambda: ("quiet-too", "silent") in site.alerted(), "the alert of the index")
        until_fed_again(service)

        assert "journal failing" in at_the_start
        assert stop(service, hanging_mount) == 0


@pytest.mark.fault("G15", rig="FUSE", says="the service is stopped while the index's mount hangs")
def test_G15_it_can_be_stopped_while_the_index_hangs(
    site: Site, mounted: HangingMount, start_hurried: StartHurried
) -> None:
    """A thread that cannot be ended keeps neither the stop nor the last alerts back."""
    with start_hurried(site) as service, mounted:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        mounted.hang()
        service.until(lambda: "index failing" in service.notify.status, "the status")

        assert stop(service, mounted) == 0
        assert not service.events("stopped with alerts not written")


@pytest.mark.fault("G15", rig="FUSE", says="the configuration leads away from a mount that hangs")
def test_G15_a_reload_leads_away_from_what_hangs(
    site: Site, mounted: HangingMount, start_hurried: StartHurried
) -> None:
    """Index, alert log and state are left behind, and what is in their place is used."""
    away = mounted.path
    site.configure(index=away / "index.jsonl", alerts=away / "alerts.jsonl", state=away / "state")
    with start_hurried(site) as service, mounted:
        service.until(lambda: service.evaluations() >= 1, "the first tick")
        mounted.hang()
        service.until(lambda: "index failing" in service.notify.status, "the status")
        site.index = site.directory / "index.jsonl"
        site.upload("elsewhere", minutes_ago=45)
        site.configure()
        service.reload()
        service.until(lambda: ("elsewhere", "silent") in site.alerted(), "the alert")

        assert service.events("configuration reloaded")
        assert stop(service, mounted) == 0


@pytest.mark.fault("G15", rig="FUSE", says="the disk of alert log, state and silences hangs, later")
def test_G15_alerts_go_to_the_journal_while_the_disk_of_the_records_hangs(
    site: Site, hanging_mount: HangingMount, alert_journal: AlertJournal, start_hurried: StartHurried
) -> None:
    """Evaluations and watchdog go on; when the disk is back, the alert log gets the alerts, each once."""
    site.alerts = hanging_mount.path / "alerts.jsonl"
    site.configure(state=hanging_mount.path / "state")
    with start_hurried(site) as service, hanging_mount:
        service.until((hanging_mount.path / "state" / "state.json").exists, "the state")
        hanging_mount.hang()
        site.show_all_symptoms()
        site.sync_journal()
        service.until(lambda: alert_journal.alerted == site.EVERY_ALERT, "the alerts in the journal")
        service.until(lambda: "the alert log cannot be written" in service.notify.status, "the status")
        until_fed_again(service)
        status = service.notify.status
        hanging_mount.go_on()
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts in the alert log")
        service.until(lambda: "cannot be written" not in service.notify.status, "the status")
        service.until_evaluated_anew()

        assert "silences cannot be used" in status
        assert alert_journal.alerted == site.EVERY_ALERT
        assert service.stop() == 0


@pytest.mark.fault("G15", rig="FUSE", says="the service is stopped while the disk of the records hangs")
def test_G15_it_can_be_stopped_while_the_disk_of_the_records_hangs(
    site: Site, hanging_mount: HangingMount, alert_journal: AlertJournal, start_hurried: StartHurried
) -> None:
    """What waits for the alert log is in the journal by then."""
    site.alerts = hanging_mount.path / "alerts.jsonl"
    site.configure(state=hanging_mount.path / "state")
    with start_hurried(site) as service, hanging_mount:
        service.until(lambda: service.evaluations() >= 1, "the first tick")
        hanging_mount.hang()
        site.show_all_symptoms()
        site.sync_journal()
        service.until(lambda: alert_journal.alerted, "an alert in the journal")
        service.until_evaluated_anew()

        assert stop(service, hanging_mount) == 0
        assert alert_journal.alerted == site.EVERY_ALERT


@pytest.mark.fault("G15", rig="FUSE", says="the service is stopped before it knows that the alert log hangs")
def test_G15_a_stop_in_the_middle_of_a_write_sends_the_alerts_to_the_journal(
    site: Site, hanging_mount: HangingMount, alert_journal: AlertJournal, start_hurried: StartHurried
) -> None:
    """They wait for the alert log for a moment more, and go to the journal before the end."""
    site.alerts = hanging_mount.path / "alerts.jsonl"
    site.configure()
    with start_hurried(site, limit_s=PATIENCE_S) as service, hanging_mount:
        service.until(lambda: service.evaluations() >= 1, "the first tick")
        hanging_mount.hang()
        site.upload("quiet", minutes_ago=45)
        service.until(lambda: any(one["new_alerts"] for one in service.events("evaluated")), "the alert")

        assert stop(service, hanging_mount) == 0
        assert service.events("stopped with alerts not written")
        assert alert_journal.alerted == [("quiet", "silent")]


@pytest.mark.fault("G15", rig="FUSE", says="the disk of alert log, state and silences hangs at the start")
def test_G15_a_state_that_hangs_at_the_start_is_restored_when_it_is_back(
    site: Site, hanging_mount: HangingMount, alert_journal: AlertJournal, start_hurried: StartHurried
) -> None:
    """Until then alerts go to the journal and the state is left alone; then the service ends, to begin from it."""
    site.alerts = hanging_mount.path / "alerts.jsonl"
    site.configure(state=hanging_mount.path / "state")
    site.upload("quiet", minutes_ago=45)
    with start_hurried(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        service.until((hanging_mount.path / "state" / "state.json").exists, "the state")
        service.stop()
    state = (hanging_mount.path / "state" / "state.json").read_bytes()
    site.upload("quiet-too", minutes_ago=40)
    hanging_mount.hang()
    with start_hurried(site) as service, hanging_mount:
        service.until_ready()
        service.until(lambda: ("quiet-too", "silent") in alert_journal.alerted, "the alert in the journal")
        service.until_evaluated_anew()
        until_fed_again(service)
        status = service.notify.status
        hanging_mount.go_on()
        exit_status = service.process.wait(PATIENCE_S)

        assert "the state cannot be saved: " in status
        assert exit_status == 1
        assert "state.json: readable again" in service.stderr
    assert (hanging_mount.path / "state" / "state.json").read_bytes() == state
    with start_hurried(site) as service:
        service.until(lambda: len(site.alerted()) == 2, "the alert that waited")
        service.until_evaluated_anew()
        assert service.stop() == 0
    assert site.alerted() == [("quiet", "silent"), ("quiet-too", "silent")]


@pytest.mark.fault("G16", rig="FUSE", says="killed while the index's mount hangs, on a disk that does not")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT], ids=["killed", "as the watchdog does"])
def test_G16_the_lock_of_a_service_that_cannot_end_is_taken_over(
    number: signal.Signals, site: Site, mounted: HangingMount, start_hurried: StartHurried
) -> None:
    """The next one starts, and alerts what the first has not alerted."""
    with start_hurried(site) as dying, mounted:
        dying.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        mounted.hang()
        dying.until(lambda: "index failing" in dying.notify.status, "the status")
        dying.process.send_signal(number)
        with start_hurried(site) as service, mounted:
            assert_taken_over(site, dying, service)
            mounted.go_on()
            service.until(lambda: "index following" in service.notify.status, "the status")

            assert service.stop() == 0
        assert dying.process.wait(PATIENCE_S) == -number
    assert len(site.alerted()) == len(set(site.alerted()))


def assert_taken_over(site: Site, dying: Service, service: Service) -> None:
    """See that a service alerts while the one before it still has the lock."""
    service.until_ready()
    site.answer("refused-too", 412, times=12)
    site.sync_journal()
    service.until(lambda: ("refused-too", "fatal-only") in site.alerted(), "the alert")
    (taken,) = service.events("lock of a dying service taken over")

    assert taken["process"] == dying.process.pid
    assert dying.process.poll() is None


@pytest.mark.fault("G16", rig="FUSE", says="killed while the disk of the alert log and its lock hangs")
def test_G16_while_the_lock_itself_hangs_alerts_go_to_the_journal(
    site: Site, hanging_mount: HangingMount, alert_journal: AlertJournal, start_hurried: StartHurried
) -> None:
    """The next one starts all the same; it has the lock, and writes what waits, once the first has ended."""
    site.alerts = hanging_mount.path / "alerts.jsonl"
    site.configure(state=hanging_mount.path / "state")
    with start_hurried(site) as dying, hanging_mount:
        dying.until(lambda: dying.evaluations() >= 1, "the first tick")
        hanging_mount.hang()
        dying.until(lambda: "the alert log cannot be written" in dying.notify.status, "the status")
        dying.process.send_signal(signal.SIGKILL)
        site.show_all_symptoms()
        site.sync_journal()
        with start_hurried(site) as service, hanging_mount:
            service.until_ready()
            service.until(lambda: alert_journal.alerted == site.EVERY_ALERT, "the alerts in the journal")
            assert dying.process.poll() is None
            hanging_mount.go_on()
            # Its saved state can be read again, so it ends, to begin from it; before that it writes what waits.
            assert service.process.wait(PATIENCE_S) == 1
    assert site.alerted() == site.EVERY_ALERT


def hung_threads(service: Service) -> int:
    """Count the threads of a service that wait for the mount's server."""
    waits = [path.read_text() for path in Path(f"/proc/{service.process.pid}/task").glob("*/wchan")]
    return sum("request_wait_answer" in wait for wait in waits)
