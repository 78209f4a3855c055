"""The service without its inputs, or without a place for its alerts: it says so, waits, and goes on by itself."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Site, StartService


def test_it_is_ready_without_its_inputs_and_picks_them_up(site: Site, start_service: StartService) -> None:
    """Missing inputs are known to be missing: that is READY, with a status that says what is waited for."""
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
    """What does not need the missing source is evaluated; what does is named."""
    site.upload("quiet", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        status = service.until(lambda: service.notify.status.partition("not evaluated: ")[2], "the status")

        assert status.startswith("fatal-only, unstamped")
        assert service.stop() == 0


def test_a_lost_index_makes_nobody_silent(site: Site, start_service: StartService) -> None:
    """While the index cannot be seen, that a host's rows are missing says nothing about the host."""
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


def test_alerts_wait_for_a_place_to_be_written(site: Site, start_service: StartService, tmp_path: Path) -> None:
    """An alert log that cannot be written is said; when it can, each alert is there once."""
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
    """A disk that is really full costs time, and no alert; no half row is ever seen."""
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
    """It says who has the file, and the first one goes on as if nothing had been."""
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
