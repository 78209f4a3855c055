"""Run calls that touch a path in threads, with a timeout, because the disk or network mount may hang.

A thread that waits for a dead disk cannot be stopped, not even by SIGKILL. So each path has at most one thread: no call
for a path begins before the previous one has returned. The process does not wait for these threads when it exits.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from fleet_health.errors import PathHangs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 10.0
"""The timeout of a call, in seconds. A disk that has to spin up, or a worn SD card, takes several."""

# Sources are read every few seconds, and creating a thread each time would be half the cost of a read.
IDLE_S = 30.0

P = ParamSpec("P")
T = TypeVar("T")
_Calls: TypeAlias = "SimpleQueue[Callable[[], Callable[[], None]]]"
"""The calls for one thread. Each returns a function that delivers its result."""


class DaemonThreads(Executor):
    """Runs each call in a thread of its own, an idle one or a new one.

    The executors of the standard library join their threads at exit and limit their number, so a few hanging calls
    would block all others.
    """

    def __init__(self) -> None:
        self._idle: list[_Calls] = []  # the queue of each idle thread
        os.register_at_fork(after_in_child=self._idle.clear)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin a call. Its thread is idle again before the result is set."""
        future: Future[T] = Future()

        def run() -> Callable[[], None]:
            try:
                return partial(future.set_result, fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised by the future's result()
                return partial(future.set_exception, error)

        try:
            self._idle.pop().put(run)
        except IndexError:
            calls: _Calls = SimpleQueue()
            calls.put(run)
            threading.Thread(target=self._work, args=(calls,), daemon=True).start()
        return future

    def _work(self, calls: _Calls) -> None:
        while True:
            try:
                deliver = calls.get(timeout=IDLE_S)()
            except Empty:
                try:
                    self._idle.remove(calls)
                except ValueError:
                    continue  # another call was assigned to this thread meanwhile
                return
            self._idle.append(calls)
            deliver()
            del deliver  # it would keep the result until the next call


DAEMON_THREADS = DaemonThreads()
"""The executor for calls that may hang. The process does not wait for its threads at exit."""


class _CallsOfPath:
    """The calls for one path, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: asyncio.Future[Any] | None = None
        self._late_at = 0.0

    async def call(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        while self._running is not None:
            await self._wait_for(self._running)
        loop = asyncio.get_running_loop()
        self._late_at = loop.time() + LIMIT_S
        running = loop.run_in_executor(DAEMON_THREADS, partial(function, *args, **named))
        self._running = running
        running.add_done_callback(self._end)
        await self._wait_for(running)
        return running.result()

    async def _wait_for(self, running: asyncio.Future[Any]) -> None:
        # A second caller does not wait again if the call is late already.
        left_s = self._late_at - asyncio.get_running_loop().time()
        if left_s > 0 or running.done():
            await asyncio.wait({running}, timeout=max(0.0, left_s))
        if not running.done():
            raise PathHangs(
                f"{self._path}: no response for {LIMIT_S:g} s; check whether its disk or network mount hangs"
            )

    def _end(self, running: asyncio.Future[Any]) -> None:
        self._running = None
        if not running.cancelled():
            running.exception()  # retrieved, because no caller may be waiting; the next call gets the same error


_by_path: WeakValueDictionary[Path, _CallsOfPath] = WeakValueDictionary()  # kept by their calls


async def call_at(path: Path, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Call a function that touches a path, in a thread, and return its result.

    Raises:
        PathHangs: This call, or an earlier one for the path, has not returned within `LIMIT_S` seconds. That call
            continues, and no other call for the path begins until it returns.

    """
    return await _by_path.setdefault(path, _CallsOfPath(path)).call(function, *args, **named)
