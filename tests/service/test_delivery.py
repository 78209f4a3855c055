"""Delivering alerts: to the alert log, and to the journal, whatever either of them does."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from fleet_health.alerting.alert import Alert
from fleet_health.detectors.spec import Finding
from fleet_health.model.counters import Counters
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.service.delivery import Delivery
from fleet_health.service.service_manager import Pulse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.conftest import AsyncEventually

AT = 1_795_000_000_000_000


def alert(host: str) -> Alert:
    """Make an alert."""
    return Alert(Finding(host, "silent", "no upload for 31 min", "look there"), AT)


class Rig:
    """A delivery with a real alert log and a journal socket that we read."""

    def __init__(self, directory: Path) -> None:
        self.alerts = directory / "place" / "alerts.jsonl"
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.journal.bind(str(directory / "socket"))
        self.pulse = Pulse("writer", 0.0)
        self.sink = JournalSink(str(directory / "socket"))
        self.delivery = Delivery(AlertLog(self.alerts), self.sink, self.pulse, counters=Counters())

    def written(self) -> int:
        """Count the rows."""
        return self.alerts.read_bytes().count(b"\n") if self.alerts.exists() else 0

    def sent(self) -> int:
        """Count the journal entries that have come since the last call."""
        count = 0
        with suppress(BlockingIOError):
            while self.journal.recv(1 << 20):
                count += 1
        return count


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A delivery; the directory of its alert log is missing."""
    one = Rig(tmp_path)
    yield one
    one.sink.close()
    one.journal.close()


@asynccontextmanager
async def delivering(delivery: Delivery) -> AsyncIterator[None]:
    """Deliver while the context lasts."""
    task = asyncio.create_task(delivery.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_alerts_are_written_and_sent(rig: Rig) -> None:
    """Once delivery has settled, every alert is a row and a journal entry."""
    rig.alerts.parent.mkdir()
    async with delivering(rig.delivery):
        rig.delivery.deliver([alert("a"), alert("b")])
        await rig.delivery.settle()

    assert (rig.written(), rig.sent(), rig.delivery.problem) == (2, 2, "")


async def test_free_memory_is_given_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an evaluation has been delivered, also one without alerts."""
    given: list[int] = []
    monkeypatch.setattr("fleet_health.service.delivery.give_back_memory", lambda: given.append(rig.sent()))
    rig.alerts.parent.mkdir()
    async with delivering(rig.delivery):
        for alerts in ([alert("a"), alert("b")], []):
            rig.delivery.deliver(alerts)
            await rig.delivery.settle()

    assert given == [2, 0]


async def test_the_delivery_is_settled_when_an_evaluation_is_published(rig: Rig) -> None:
    """A client that waits for a publication need not wait for another one."""
    rig.alerts.parent.mkdir()
    async with delivering(rig.delivery):
        for _ in range(3):
            rig.delivery.deliver([])
            await rig.delivery.publication.change.wait()

            assert rig.delivery.is_settled


async def test_an_alert_that_the_log_holds_is_not_sent_again(rig: Rig) -> None:
    """An alert of this hour is neither written nor sent again, even if another process wrote it."""
    rig.alerts.parent.mkdir()
    AlertLog(rig.alerts).append([alert("a")])
    async with delivering(rig.delivery):
        rig.delivery.deliver([alert("a"), alert("b")])
        await rig.delivery.settle()

    assert (rig.written(), rig.sent()) == (2, 1)


async def test_alerts_that_cannot_be_written_go_to_the_journal_and_wait(
    rig: Rig, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sent once, retried with a backoff, and written when the alert log is writable."""
    monkeypatch.setattr("fleet_health.model.backoff._FIRST_S", 0.01)
    rig.delivery._backoff.wait_s = 0.01
    with capture_logs() as logs:
        async with delivering(rig.delivery):
            rig.delivery.deliver([alert("a")])
            await rig.delivery.settle()
            problem = rig.delivery.problem
            rig.delivery.deliver([alert("b")])
            await rig.delivery.settle()
            sent = rig.sent()
            rig.alerts.parent.mkdir()
            await async_eventually(lambda: rig.written() == 2)
            await async_eventually(lambda: not rig.delivery.problem)
    said = [line for line in logs if line["log_level"] == "error"]

    assert problem == f"{rig.alerts}: No such file or directory"
    assert (sent, rig.sent()) == (2, 0)
    assert [line["reason"] for line in said] == [problem]


async def test_without_alerts_the_alert_log_is_probed(rig: Rig) -> None:
    """A fault is reported before an alert needs the file."""
    async with delivering(rig.delivery):
        rig.delivery.deliver([])
        await rig.delivery.settle()

        assert "No such file or directory" in rig.delivery.problem
    assert rig.sent() == 0


async def test_any_number_of_ticks_leaves_one_retry_pending(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch waits, further ticks do not make the retries more frequent."""
    loop = asyncio.get_running_loop()
    original = loop.call_later
    timers: list[asyncio.TimerHandle] = []

    def call_later(delay: float, callback: Any, *rest: Any, **context: Any) -> asyncio.TimerHandle:
        handle = original(delay, callback, *rest, **context)
        if callback == rig.delivery._work.set:
            timers.append(handle)
        return handle

    monkeypatch.setattr(loop, "call_later", call_later)
    async with delivering(rig.delivery):
        rig.delivery.deliver([alert("a")])
        for _ in range(20):
            rig.delivery.deliver([])
            await rig.delivery.settle()
        waiting = [timer for timer in timers if not timer.cancelled() and timer.when() > loop.time()]

    assert len(waiting) <= 1


async def test_the_queue_is_bounded_and_logs_what_it_drops(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dropped batch is logged in full."""
    monkeypatch.setattr("fleet_health.service.delivery._BATCHES", 2)
    with capture_logs() as logs:
        for host in ("a", "b", "c"):
            rig.delivery.deliver([alert(host)])
    rig.alerts.parent.mkdir()
    async with delivering(rig.delivery):
        await rig.delivery.settle()

    assert [line["alerts"] for line in logs] == [[alert("a").line()]]
    assert rig.written() == 2


async def test_a_journald_that_hangs_delays_no_row(tmp_path: Path, rig: Rig) -> None:
    """Alerts are written while journald does not read its socket, and sent when it does."""
    del tmp_path
    rig.alerts.parent.mkdir()
    alerts = [alert(f"h{number}") for number in range(1_000)]
    async with delivering(rig.delivery):
        rig.delivery.deliver(alerts)
        await rig.delivery.settle()
        written, is_waiting, sent = rig.written(), rig.sink.has_pending, rig.sent()
        while rig.sink.has_pending:
            rig.delivery.deliver([])
            await rig.delivery.settle()
            sent += rig.sent()

    assert (written, is_waiting, sent) == (1_000, True, 1_000)


async def test_a_missing_journald_is_retried_with_a_backoff(
    rig: Rig, tmp_path: Path, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert log is not probed for it. When journald starts, it gets the alert."""
    (tmp_path / "socket").rename(tmp_path / "gone")
    rig.alerts.parent.mkdir()
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    call_later, probes = loop.call_later, 0

    def at_once(delay: float, callback: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
        if callback != rig.delivery._send_on:
            return call_later(delay, callback, *arguments)
        waits.append(delay)
        if len(waits) == 8:
            (tmp_path / "gone").rename(tmp_path / "socket")
        return call_later(0, callback)

    def probe() -> None:
        nonlocal probes
        probes += 1

    async with delivering(rig.delivery):
        monkeypatch.setattr(loop, "call_later", at_once)
        monkeypatch.setattr(rig.delivery.log, "probe", probe)
        rig.delivery.deliver([alert("a")])
        await async_eventually(lambda: len(waits) == 8 and not rig.sink.has_pending)

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (rig.written(), rig.sent(), probes) == (1, 1, 0)
