"""S14: what lies beside the alert log under a rotated name cannot stop alerts, nor a start, whatever it is."""

from __future__ import annotations

import gzip
import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.alert import Alert
from fleet_health.detectors.spec import Finding
from fleet_health.records.alert_log import AlertLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.conftest import Service, Site, StartService

NOBODY = 65_534
LOGGED = "rotated alert log skipped"


def alert(host: str = "a") -> Alert:
    """Make an alert of the present."""
    return Alert(Finding(host, "silent", "no upload", "look there"), time.time_ns() // 1000)


def _closed(path: Path) -> None:
    path.write_text("{}\n")
    path.chmod(0)


def _compressed(path: Path) -> None:
    path.write_bytes(gzip.compress(b"x" * 5_000))
    os.chown(path, NOBODY, NOBODY)


def _linked(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(json.dumps(alert("a").row()) + "\n")
    path.symlink_to(other)


def _hard_linked(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(json.dumps(alert("a").row()) + "\n")
    os.chown(other, NOBODY, NOBODY)
    os.link(other, path)


ODD: dict[str, Callable[[Path], object]] = {
    "unreadable": _closed,
    "a directory": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a link": _linked,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a hard link": _hard_linked,
    "compressed": _compressed,
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["alerts.jsonl.1", "alerts.jsonl-20261126", "alerts.jsonl.old"])
@pytest.mark.fault("S14", rig="second user")
def test_S14_an_odd_rotated_file_stops_no_alert_and_is_named(
    kind: str,
    name: str,
    public_directory: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
    caplog_events: list[dict[str, str]],
) -> None:
    """It is skipped, and the log names it, once."""
    os.chown(public_directory, NOBODY, NOBODY)
    odd = public_directory / name
    ODD[kind](odd)
    with as_nobody():
        log = AlertLog(public_directory / "alerts.jsonl", is_service=True)
        log.probe()
        one, two = alert("a"), alert("b")
        assert log.append([one]) == [one]
        assert log.append([one, two]) == [two]
        assert (one.dedup_key, one.detected_at) in log.recent_keys(one.detected_at)
        log.close()

    logged = [event for event in caplog_events if event["event"] == LOGGED]
    assert [event["file"] for event in logged] == [str(odd)]
    assert logged[0]["reason"]


@pytest.fixture
def caplog_events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Return what the sinks log."""
    events: list[dict[str, str]] = []
    monkeypatch.setattr(
        "fleet_health.records.alert_log._log.warning", lambda event, **fields: events.append({"event": event, **fields})
    )
    return events


@pytest.mark.parametrize("kind", ["a FIFO", "a directory", "a link to itself"])
@pytest.mark.fault("S14", rig="service")
def test_S14_the_service_starts_beside_an_odd_rotated_file(kind: str, site: Site, start_service: StartService) -> None:
    """And gives its alerts."""
    site.show_all_symptoms()
    site.sync_journal()
    odd = site.alerts.with_name("alerts.jsonl.1")
    ODD[kind](odd)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until_evaluated_anew()

        assert [event["file"] for event in _skipped(service)] == [str(odd)]
        assert "alert log" not in service.notify.status


def _skipped(service: Service) -> list[dict[str, str]]:
    return service.events(LOGGED)


@pytest.mark.fault("S14", rig="files")
def test_S14_a_rotated_file_without_a_newline_costs_no_memory(tmp_path: Path) -> None:
    """A hole of a gigabyte is read in pieces."""
    rotated = tmp_path / "alerts.jsonl.1"
    with rotated.open("wb") as file:
        file.truncate(1 << 30)
    before = _peak_kib()
    log = AlertLog(tmp_path / "alerts.jsonl")

    assert log.append([one := alert()]) == [one]
    assert _peak_kib() - before < 100 << 10


def _peak_kib() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no file of ours
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
