"""Messages to systemd, and the watchdog, which is fed only while every part makes progress."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from fleet_health.service.service_manager import Pulse, feed_watchdog, notify, watchdog_interval

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        pytest.param(None, None, None, id="not asked for"),
        pytest.param("3000000", None, 3.0, id="in seconds"),
        pytest.param("3000000", "own", 3.0, id="for this process"),
        pytest.param("3000000", "1", None, id="for another process"),
        pytest.param("0", None, None, id="switched off"),
        pytest.param("soon", None, None, id="no number"),
    ],
)
def test_the_watchdogs_interval(
    usec: str | None, pid: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts only if systemd set it for this process."""
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert watchdog_interval() == expected


def test_without_a_service_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither without a socket nor with one that has gone is there an error."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that stands still until it is set."""
    clock = [1000.0]
    monkeypatch.setattr("fleet_health.service.service_manager.time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


def test_a_part_is_overdue_after_its_deadline(seconds: list[float]) -> None:
    """The patience is part of the deadline. Exactly on it, the part is not overdue."""
    pulse = Pulse("part", 5.0)
    pulse.beat(10.0)
    overdue = []
    for at in (1015.0, 1015.1):
        seconds[0] = at
        overdue.append(pulse.is_overdue)
    pulse.beat(10.0)
    overdue.append(pulse.is_overdue)

    assert overdue == [False, True, False]


def test_a_part_at_rest_is_never_overdue(seconds: list[float]) -> None:
    """Until it beats again."""
    pulse = Pulse("part", 5.0)
    pulse.rest()
    seconds[0] += 1e9
    at_rest = pulse.is_overdue
    pulse.beat()
    seconds[0] += 5.1

    assert (at_rest, pulse.is_overdue) == (False, True)


async def test_one_overdue_part_stops_the_feeding(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged once. When it beats again, the watchdog is fed again."""
    fed: list[tuple[str, ...]] = []
    monkeypatch.setattr("fleet_health.service.service_manager.notify", lambda *assignments: fed.append(assignments))
    go_on, has_stopped = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        has_stopped.set()
        await go_on.wait()
        go_on.clear()

    monkeypatch.setattr("fleet_health.service.service_manager.asyncio", SimpleNamespace(sleep=sleep))
    pulses = [Pulse("moving", 1e9), Pulse("hanging", 5.0)]
    task = asyncio.create_task(feed_watchdog(3.0, pulses))

    async def turn() -> int:
        before = len(fed)
        go_on.set()
        has_stopped.clear()
        await has_stopped.wait()
        return len(fed) - before

    await has_stopped.wait()
    with capture_logs() as logs:
        counts = [len(fed), await turn()]
        seconds[0] += 5.1
        counts += [await turn(), await turn()]
        pulses[1].beat()
        counts.append(await turn())
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert counts == [1, 1, 0, 0, 1]
    assert set(fed) == {("WATCHDOG=1",)}
    assert [line["parts"] for line in logs] == [["hanging"]]
