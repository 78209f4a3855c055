"""How much of the time documents may take."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from fleet_health.api.share import Share


class Clock:
    """A clock that only moves while someone sleeps, or by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock of the module."""
    clock = Clock()
    monkeypatch.setattr("fleet_health.api.share.time", clock)
    monkeypatch.setattr("fleet_health.api.share.sleep", clock.sleep)
    return clock


@pytest.mark.parametrize(("share", "rest"), [(0.25, 6.0), (0.5, 2.0), (1.0, 0.0)])
async def test_there_is_a_rest_after_each(clock: Clock, share: float, rest: float) -> None:
    """It follows from the share and from the time that the task took."""
    one = Share(share)
    async with one:
        clock.now += 2
    async with one:
        pass
    clock.now += 60
    async with one:
        pass

    assert clock.slept == [0.0, rest, 0.0]


async def test_there_is_one_at_a_time(clock: Clock) -> None:
    """Also after one has failed, or was cancelled during the rest."""
    one, order = Share(), []

    async def work(name: str) -> None:
        async with one:
            order.append(f"{name} begins")
            await asyncio.to_thread(int)
            order.append(f"{name} ends")

    with suppress(ZeroDivisionError):
        async with one:
            raise ZeroDivisionError
    await asyncio.gather(work("a"), work("b"))

    assert order == ["a begins", "a ends", "b begins", "b ends"]
    assert clock.slept == [0.0] * 3


async def test_a_task_that_is_cancelled_while_it_waits_blocks_no_other() -> None:
    """The next one enters when the rest is over."""
    one = Share(1e-9)
    async with one:
        await asyncio.sleep(0)

    async def enter() -> None:
        async with one:
            pass

    waiting = asyncio.create_task(enter())
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting

    assert not one._lock.locked()
