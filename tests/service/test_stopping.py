"""How the service starts, stops and dies: signals, bad configurations, and the files that remain."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Eventually, RunCommand, Service, Site, StartService


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_orderly(
    number: signal.Signals, site: Site, start_service: StartService, eventually: Eventually
) -> None:
    """STOPPING=1 is sent, and the exit status is 0."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until_ready()
        service.process.send_signal(number)
        status = service.process.wait(PATIENCE_S)
        stopping = eventually(lambda: service.notify.having("STOPPING"), "STOPPING=1")

    assert status == 0
    assert [message["STOPPING"] for message in stopping] == ["1"]
    assert stopping[0]["STATUS"].startswith("Stopping")


def test_a_stop_right_after_an_evaluation_loses_nothing(site: Site, start_service: StartService) -> None:
    """Its alerts are written before the end."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: service.evaluations() >= 1, "the first evaluation")

        assert service.stop() == 0
        assert site.alerted() == site.EVERY_ALERT


def test_a_stop_during_the_start(site: Site, start_altered_service: Callable[[Site, str], Service]) -> None:
    """It does not wait for the end of a long backlog."""
    code = """
import asyncio
from fleet_health.service.intake import Intake

async def read_for_ever(self, *_):
    await asyncio.Event().wait()

Intake.adopt = read_for_ever
"""
    with start_altered_service(site, code) as service:
        service.until(lambda: service.notify.status.startswith("Starting"), "the status")
        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(PATIENCE_S) == 0
        assert service.notify.having("STOPPING")
        assert not service.notify.having("READY")


def test_an_alert_log_that_hangs_does_not_prevent_the_stop(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """The last alerts are missing from the alert log, but the process ends."""
    code = """
import time
from fleet_health.daemon import composition
from fleet_health.records.alert_log import AlertLog
composition._LAST_LOOK_TIME = composition._SETTLE_TIME = 1.5
AlertLog.append = lambda *_: time.sleep(600)
"""
    site.show_all_symptoms()
    site.sync_journal()
    with start_altered_service(site, code) as service:
        service.until(lambda: service.evaluations() >= 1, "the first evaluation")
        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(PATIENCE_S) == 0
        assert service.events("stopped with alerts not written")


def test_a_second_signal_ends_it_at_once(site: Site, start_altered_service: Callable[[Site, str], Service]) -> None:
    """A second SIGTERM does not wait for the last alerts."""
    code = """
import time
from fleet_health.records.alert_log import AlertLog
AlertLog.append = lambda *_: time.sleep(600)
"""
    site.show_all_symptoms()
    site.sync_journal()
    with start_altered_service(site, code) as service:
        service.until(lambda: service.evaluations() >= 1, "the first evaluation")
        service.process.send_signal(signal.SIGTERM)
        service.until(lambda: service.notify.having("STOPPING"), "STOPPING=1")
        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(PATIENCE_S) == -signal.SIGTERM


@pytest.mark.fault("E4", rig="service")
def test_E4_alerts_that_waited_are_tried_once_more_at_the_end(site: Site, start_service: StartService) -> None:
    """The alert log may have become writable since the last retry."""
    alerts = site.directory / "later" / "alerts.jsonl"
    site.configure(alerts=alerts, tick="1h")
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: "alert log not writable" in service.stderr, "the complaint")
        alerts.parent.mkdir()
        site.alerts = alerts

        assert service.stop() == 0
        assert site.alerted() == site.EVERY_ALERT


def _ignores_or_handles(pid: int, number: int) -> bool:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool((int(status["SigIgn"], 16) | int(status["SigCgt"], 16)) >> (number - 1) & 1)


@pytest.mark.fault("D3", rig="service")
def test_D3_a_reload_while_it_starts_does_not_kill_it(site: Site, start_service: StartService) -> None:
    """SIGHUP is handled from the first line on, and the configuration is loaded again once the service is ready."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: _ignores_or_handles(service.process.pid, signal.SIGHUP), "SIGHUP to be ignored")

        def is_ready() -> bool:
            service.process.send_signal(signal.SIGHUP)
            return bool(service.notify.having("READY"))

        service.until(is_ready, "READY=1")
        service.reload()

        assert service.stop() == 0


def test_every_problem_of_a_configuration_is_reported(site: Site, run_command: RunCommand) -> None:
    """Each is a line on stderr with file and key, and the exit status is 2."""
    site.config.write_text('tick = "0s"\nticks = 5\n[detectors.silent]\nafter = 30\n[journal]\nresponse = "("\n')
    done = run_command("run", "--config", site.config)
    lines = done.stderr.splitlines()

    assert done.status == 2
    assert len(lines) == 4
    assert all(line.startswith(f"{site.config}: ") for line in lines)
    for key in ("tick", "ticks", "detectors.silent.after", "journal.response"):
        assert any(line.startswith(f"{site.config}: {key}: expected ") for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "file: expected a readable file, found No such file or directory", id="missing"),
        pytest.param(b"tick = ", "expected TOML", id="not TOML"),
        pytest.param(b'tick = "\xff"', "expected UTF-8", id="not UTF-8"),
    ],
)
def test_an_unreadable_configuration_is_reported(
    content: bytes | None, said: str, site: Site, run_command: RunCommand
) -> None:
    """It is reported in the same way."""
    if content is None:
        site.config.unlink()
    else:
        site.config.write_bytes(content)
    done = run_command("run", "--config", site.config)

    assert done.status == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_service_goes_on_without_a_service_manager(site: Site, start_service: StartService) -> None:
    """NOTIFY_SOCKET may have no listener any more."""
    with start_service(site, NOTIFY_SOCKET=str(site.directory / "gone")) as service:
        service.until(lambda: service.evaluations() >= 2, "ticks")

        assert service.stop() == 0


def test_a_part_that_fails_ends_the_service(site: Site, start_altered_service: Callable[[Site, str], Service]) -> None:
    """After a programming error, it ends with a traceback and a failing exit status."""
    code = """
from fleet_health.service.intake import Intake

async def fail(self):
    raise RuntimeError("a mistake of ours")

Intake.poll = fail
"""
    with start_altered_service(site, code) as service:
        status = service.process.wait(PATIENCE_S)

        assert status not in (0, 2)
        assert "RuntimeError: a mistake of ours" in service.stderr
