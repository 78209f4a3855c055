"""The sources that fill the fleet: read before each evaluation, and never half."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from fleet_health.config.loading import load
from fleet_health.domain.evaluation import reach_of
from fleet_health.service import clock
from fleet_health.service.intake import Intake
from fleet_health.service.notify import Pulse
from fleet_health.sources.tail import Tail

if TYPE_CHECKING:
    import pytest

    from tests.conftest import AsyncEventually, Site


async def test_rows_that_a_slow_disk_gives_late_are_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch, async_eventually: AsyncEventually
) -> None:
    """An evaluation does not wait for a disk that hangs; what it reads in the end still counts."""
    monkeypatch.setattr("fleet_health.service.intake._POLL_TIME", 0.05)
    is_free, is_waiting = threading.Event(), threading.Event()
    read = Tail.read

    def slow_read(tail: Tail) -> Any:
        block = read(tail)
        if block.lines:
            is_waiting.set()
            is_free.wait()
        return block

    monkeypatch.setattr(Tail, "read", slow_read)
    site.answer("any", 200)
    site.sync_journal()
    settings = load(site.config)
    site.index.touch()
    tasks: list[asyncio.Task[Any]] = []

    def start(work: Any) -> asyncio.Task[Any]:
        if work.cr_code.co_name == "follow":  # it is the evaluation's own look that is to meet the slow disk
            work.close()
            tasks.append(asyncio.create_task(asyncio.sleep(3600)))
        else:
            tasks.append(asyncio.create_task(work))
        return tasks[-1]

    intake = Intake(clock=clock.now, start=start, index_pulse=Pulse("i", 1e9), journal_pulse=Pulse("j", 1e9))
    await intake.adopt(settings, reach_of(settings.detectors()))
    site.ship("a")
    await intake.poll()
    await async_eventually(is_waiting.is_set)
    hosts_while_waiting = [host for host, _ in intake.fleet.ships.items()]
    is_free.set()
    await async_eventually(lambda: list(intake.fleet.ships.items()))
    hosts = [host for host, _ in intake.fleet.ships.items()]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    assert (hosts_while_waiting, hosts) == ([], ["a"])
