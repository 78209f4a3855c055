"""The service without its inputs or its alert log: it reports that, waits, and recovers by itself."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Site, StartService


def test_missing_inputs_do_not_delay_readiness(site: Site, start_service: StartService) -> None:
    """READY=1 is sent with a status that names them, and they are read when they appear."""
    with start_service(site) as service:
        service.until_ready()
        status = service.notify.having("READY")[0]["STATUS"]
        service.until_evaluated_anew()
        while_blind = site.alerted()
        site.show_all_symptoms()
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until(lambda: "index following" in service.notify.status, "the index")
        service.until(lambda: "journal following" in service.notify.status, "the journal")

        assert service.stop() == 0
    assert f"index waiting ({site.index}: No such file or directory)" in status
    assert f"journal waiting (there is no journal in {site.journal_directory})" in status
    assert while_blind == []


def test_without_a_journal_silent_hosts_are_still_found(site: Site, start_service: StartService) -> None:
    """Detectors that do not need the missing source run; the others are named."""
    site.upload("quiet", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        status = service.until(lambda: service.notify.status.partition("not evaluated: ")[2], "the status")

        assert status.startswith("fatal-only, unstamped")
        assert service.stop() == 0


def test_a_missing_index_makes_no_host_silent(site: Site, start_service: StartService) -> None:
    """While the index cannot be read, missing rows prove nothing."""
    site.configure("[detectors.silent]\nafter = '2s'\n")
    site.upload("well")
    with start_service(site) as service:
        service.until_ready()
        site.index.unlink()
        service.until(lambda: "index waiting" in service.notify.status, "the loss")
        before = site.alerted()
        service.until_evaluated_anew()

        assert site.alerted() == before
        assert service.stop() == 0


def test_alerts_wait_for_a_writable_alert_log(site: Site, start_service: StartService, tmp_path: Path) -> None:
    """The problem is reported; when the alert log can be written, each alert is there once."""
    site.alerts = tmp_path / "later" / "alerts.jsonl"
    site.configure()
    site.show_all_symptoms()
    with start_service(site) as service:
        service.until(lambda: "the alert log cannot be written" in service.notify.status, "the status")
        service.until_evaluated_anew()
        site.alerts.parent.mkdir()
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until(lambda: "cannot be written" not in service.notify.status, "the status")
        service.until_evaluated_anew()

        assert site.alerted() == site.EVERY_ALERT
        assert service.stop() == 0


def test_alerts_wait_for_room_on_a_full_disk(site: Site, start_service: StartService, small_disk: Path) -> None:
    """A full disk delays alerts, but none is lost, and no partial row is ever visible."""
    site.alerts = small_disk / "alerts.jsonl"
    filler = small_disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4096"], capture_output=True, check=False)
    site.configure()
    site.show_all_symptoms()
    with start_service(site) as service:
        service.until(lambda: "the alert log cannot be written" in service.notify.status, "the status")
        assert site.alert_rows() == []
        filler.unlink()
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")

        assert service.stop() == 0


def test_a_second_service_on_the_same_alert_log_is_refused(site: Site, start_service: StartService) -> None:
    """It reports which process has the file, and the first service is not affected."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as first:
        first.until_ready()
        with start_service(site) as second:
            status = second.process.wait(PATIENCE_S)
            said = second.stderr
        first.until_evaluated_anew()
        assert site.alerted() == site.EVERY_ALERT
        assert first.stop() == 0

    assert status != 0
    assert f"process {first.process.pid}" in said
    assert "Traceback" not in said
