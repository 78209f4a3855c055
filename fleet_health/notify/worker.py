"""A thread for calls that block, one after the other. The exit of the process does not wait for it: a call may hang."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Runs calls in one thread, in order."""

    def __init__(self, name: str) -> None:
        """Take the name of the thread, which the kernel shows."""
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_started = False

    def begin(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> asyncio.Future[T]:
        """Begin a call; return the future of its result. The call is made even if the future is cancelled."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a caller that stops waiting must not cancel the call
        self._calls.put(partial(_run, future, partial(function, *args, **named)))
        if not self._is_started:
            self._is_started = True
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return asyncio.wrap_future(future)

    async def call(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Make a call; return its result."""
        return await self.begin(function, *args, **named)

    def end(self) -> None:
        """End the thread after the calls that were begun."""
        if self._is_started:
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # or its arguments would be kept until the next call


def _run(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
    else:
        future.set_result(result)
