"""Calls that touch a path, each in a thread, and waited for only so long: its disk or network mount may hang.

A thread that waits for a dead disk cannot be stopped, not even by SIGKILL. So there is never more than one for a path:
while its call has not returned, no other is begun. And nobody waits for it when the process ends.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from fleet_health.errors import PathHangs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 10.0
"""How long a call is waited for, in seconds: a disk that has to spin up, or a worn SD card, takes some of them."""

P = ParamSpec("P")
T = TypeVar("T")


class _DaemonThreads(Executor):
    """Runs each call in a thread of its own. The threads of the standard library's executors are joined at exit."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future


DAEMON_THREADS = _DaemonThreads()
"""The executor for what may hang: no exit waits for its threads."""


class _Calls:
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
        # Whoever comes when a call is late already does not wait again.
        left_s = self._late_at - asyncio.get_running_loop().time()
        if left_s > 0 or running.done():
            await asyncio.wait({running}, timeout=max(0.0, left_s))
        if not running.done():
            raise PathHangs(f"{self._path}: no response for {LIMIT_S:g} s; see whether its disk or network mount hangs")

    def _end(self, running: asyncio.Future[Any]) -> None:
        self._running = None
        if not running.cancelled():
            running.exception()  # if nobody waited so long, nobody misses it: the next call meets it again


_by_path: WeakValueDictionary[Path, _Calls] = WeakValueDictionary()  # kept by their calls


async def call_at(path: Path, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Call a function that touches a path in a thread; return what it returns.

    Raises:
        PathHangs: It has not returned after `LIMIT_S` seconds, or an earlier call for that path has not. That call goes
            on by itself, and until it has returned, no other is begun.

    """
    return await _by_path.setdefault(path, _Calls(path)).call(function, *args, **named)
