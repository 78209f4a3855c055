"""E: one loop serves everything, so nothing may hold it up, and nothing may end in it unseen."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.domain.alert import Alert
from fleet_health.domain.detectors.contract import Finding
from fleet_health.domain.fleet import Traffic
from fleet_health.service.delivery import Delivery
from fleet_health.service.notify import Pulse
from fleet_health.sinks.alert_log import AlertLog
from fleet_health.sinks.journal import JournalSink
from fleet_health.sources.journal import JournalFollower

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import AsyncEventually, Service, Site

NOW = 1_795_460_100_000_000
ACCESS = 'INFO:     10.0.0.1:50000 - "PUT /v1/episodes/pi-01/e1 HTTP/1.1" 422 Unprocessable Entity'


def follower(directory: Path, traffic: Traffic) -> JournalFollower:
    """Follow a directory of journal files, as of NOW."""
    settings = load(None, {"journal.directory": ("--journal-directory", str(directory))}).journal
    return JournalFollower(settings, reach_us=1_800_000_000, deliver=traffic.record, clock=lambda: NOW)


@pytest.mark.fault("E1", rig="R3")
async def test_E1_a_backlog_leaves_the_loop_its_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a backlog is read, everything else in the loop has its turn after each slice of time."""
    monkeypatch.setattr("fleet_health.sources.journal._SLICE", 0.0)
    with JournalFile(tmp_path / "x.journal") as journal:
        for number in range(6400):
            journal.append(ACCESS, at_us=NOW - 1_000_000 + number)
    traffic, turns = Traffic(), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    source = follower(tmp_path, traffic)
    await source.poll()
    counting.cancel()
    await source.close()

    assert source.state.read == 6400
    assert turns >= 6400 // 64


@pytest.mark.fault("E2", rig="files")
async def test_E2_a_sync_that_takes_its_time_holds_up_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, async_eventually: AsyncEventually
) -> None:
    """While the disk syncs, in a thread, the loop goes on; the alert arrives when the disk is done."""
    is_syncing, may_end = threading.Event(), threading.Event()

    def sync(_fd: int) -> None:
        is_syncing.set()
        may_end.wait(30)

    monkeypatch.setattr(os, "fsync", sync)
    log = AlertLog(tmp_path / "alerts.jsonl")
    journal = JournalSink(str(tmp_path / "nobody"))
    delivery = Delivery(log, journal, Pulse("writer", 60))
    running = asyncio.create_task(delivery.run())
    delivery.deliver([Alert(Finding("pi-01", "silent", "quiet", "look"), NOW)])

    await async_eventually(is_syncing.is_set, "the sync, with the loop going on")
    may_end.set()
    await delivery.settle()
    running.cancel()
    journal.close()

    assert len(log.given(NOW)) == 1


@pytest.mark.fault("E3", rig="service")
def test_E3_a_source_that_fails_does_not_end_the_service(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """A disk that gives errors is tried again; meanwhile the other source's hosts are judged."""
    site.show_all_symptoms()
    site.configure()
    code = """
import os
from fleet_health.sources import open_file

class Broken:
    def __getattr__(self, name):
        return getattr(os, name)
    def pread(self, *_):
        raise OSError(5, "Input/output error")

open_file.os = Broken()
"""
    with start_altered_service(site, code) as service:
        service.until(lambda: len(site.alerted()) == 2, "the alerts that the journal is enough for")

        assert [symptom for _, symptom in site.alerted()] == ["fatal-only", "unstamped"]
        assert "index failing" in service.notify.status
        assert service.process.poll() is None


@pytest.mark.fault("E7", rig="R3")
async def test_E7_our_own_alerts_are_not_read_back(tmp_path: Path) -> None:
    """What another unit says, or an entry that merely names the receiver's unit, counts for nobody."""
    with JournalFile(tmp_path / "x.journal") as journal:
        journal.append(ACCESS, at_us=NOW - 5, unit="fleet-health.service")
        journal.append(ACCESS, at_us=NOW - 4, unit="fleet-health.service", UNIT="cis490-receiver.service")
        journal.append(f"ALERT host=pi-01 {ACCESS}", at_us=NOW - 3, unit="fleet-health.service", FLEET_HOST="pi-01")
        journal.append(ACCESS, at_us=NOW - 2)
    traffic = Traffic()
    source = follower(tmp_path, traffic)

    await source.poll()
    await source.close()

    window = traffic.window("pi-01")
    assert window is not None
    assert window.count_by_status(0, NOW) == {422: 1}
