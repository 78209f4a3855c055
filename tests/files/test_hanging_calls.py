"""Calls that touch a path: each has a time limit, and one at a time runs for each path."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.errors import PathHangs, SinkUnavailable, SourceUnavailable
from fleet_health.files import hanging_calls
from fleet_health.files.hanging_calls import DaemonThreads, call_at
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = Path("/other")


class Disk:
    """A disk that hangs until it is released, and counts the calls that it got."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = 0
        self.is_called, self.is_back = threading.Event(), threading.Event()

    def read(self, answer: str = "read") -> str:
        """Read; return when the disk is back."""
        self.calls += 1
        self.is_called.set()
        self.is_back.wait()
        return answer


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Have a disk that hangs, and no patience with it."""
    monkeypatch.setattr(hanging_calls, "LIMIT_S", 0.05)
    monkeypatch.setattr(hanging_calls, "DAEMON_THREADS", DaemonThreads())
    one = Disk(tmp_path)
    yield one
    one.is_back.set()


async def test_a_call_returns_what_its_function_returns() -> None:
    """With positional and named arguments, from another thread."""
    assert await call_at(OTHER, int, "12", base=8) == 10
    assert await call_at(OTHER, threading.get_ident) != threading.get_ident()


async def test_a_call_raises_what_its_function_raises() -> None:
    """The next call works as usual."""
    with pytest.raises(ValueError, match="invalid literal"):
        await call_at(OTHER, int, "twelve")

    assert await call_at(OTHER, int, "12") == 12


async def test_a_call_that_does_not_return_is_given_up(disk: Disk) -> None:
    """As an unavailable source or sink; the message names the path."""
    with pytest.raises(PathHangs, match=rf"^{disk.path}: no response for 0\.05 s; check whether ") as raised:
        await call_at(disk.path, disk.read)

    assert isinstance(raised.value, SourceUnavailable)
    assert isinstance(raised.value, SinkUnavailable)


async def test_while_a_call_hangs_no_other_is_begun_for_its_path(disk: Disk) -> None:
    """Another call is refused at once, without a thread; other paths are free."""
    for _ in range(3):
        with pytest.raises(PathHangs):
            await call_at(disk.path, disk.read)
    loop = asyncio.get_running_loop()
    before = loop.time()
    hanging_calls.LIMIT_S = 60.0  # as of the next call that is begun
    with pytest.raises(PathHangs):
        await call_at(disk.path, disk.read)

    assert loop.time() - before < 60
    assert disk.calls == 1
    assert await call_at(OTHER, int, "12") == 12


async def test_when_a_call_has_returned_the_next_one_is_begun(disk: Disk) -> None:
    """It gets its own result, not that of the abandoned call."""
    with pytest.raises(PathHangs):
        await call_at(disk.path, disk.read, "late")
    disk.is_back.set()
    hanging_calls.LIMIT_S = 60.0
    while True:
        try:
            answer = await call_at(disk.path, disk.read, "in time")
            break
        except PathHangs:  # the thread may take its time to end
            await asyncio.sleep(0)

    assert answer == "in time"
    assert disk.calls == 2


async def test_calls_for_one_path_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls at the same time run one after the other."""
    monkeypatch.setattr(hanging_calls, "LIMIT_S", 60.0)
    at_work, most = 0, 0

    def work() -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        threading.Event().wait(0.01)
        at_work -= 1

    await asyncio.gather(*(call_at(OTHER, work) for _ in range(5)))

    assert most == 1


async def test_whoever_asks_may_be_cancelled_and_the_call_goes_on(disk: Disk) -> None:
    """A stopped task does not wait for a call that hangs."""
    hanging_calls.LIMIT_S = 60.0
    asking = asyncio.create_task(call_at(disk.path, disk.read))
    await asyncio.to_thread(disk.is_called.wait)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert disk.calls == 1


async def test_nobody_waits_for_its_thread_at_exit(disk: Disk) -> None:
    """The threads of the loop's executor are joined at exit; this one is not."""
    before = set(threading.enumerate())
    with pytest.raises(PathHangs):
        await call_at(disk.path, disk.read)
    (thread,) = set(threading.enumerate()) - before

    assert thread.daemon


def test_a_thread_is_used_again_when_its_call_has_returned() -> None:
    """Until then the next call has another one, so a hanging call stops no other."""
    threads, is_back = DaemonThreads(), threading.Event()
    hanging = threads.submit(is_back.wait)
    used = {threads.submit(threading.current_thread).result(PATIENCE_S) for _ in range(10)}
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 1, 0).result(PATIENCE_S)
    used.add(threads.submit(threading.current_thread).result(PATIENCE_S))
    is_back.set()
    hanging.result(PATIENCE_S)

    assert len(used) == 1


def test_a_thread_that_is_not_needed_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call starts another one."""
    monkeypatch.setattr(hanging_calls, "IDLE_S", 0.001)
    threads = DaemonThreads()
    ended = threads.submit(threading.current_thread).result(PATIENCE_S)
    ended.join(PATIENCE_S)

    assert not ended.is_alive()
    assert threads.submit(threading.current_thread).result(PATIENCE_S) is not ended
