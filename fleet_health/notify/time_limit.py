"""Calls that may hang, limited to a fixed time however slow the other side is.

The timeout of a socket begins anew with each byte, and no timeout covers a name server. So each call has a thread of
its own, and its caller stops waiting when the time is over.
"""

from __future__ import annotations

import time
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

GRACE_S = 1.0
"""By how many seconds the timeout of a socket is longer. It ends threads that nobody waits for any more."""


class TimeLimit:
    """Makes one call at a time, each for a limited time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last: Thread | None = None

    def call(self, function: Callable[[], T], interrupt: Callable[[], None]) -> T:
        """Call a function and return what it returns, or raise what it raises.

        Args:
            function: It is called in a thread of its own.
            interrupt: Makes the function return soon, for example by shutting down its socket. It is called when the
                time is over.

        Raises:
            TimeoutError: It did not return in time, or an earlier call still has not returned.

        """
        ends = time.monotonic() + self.seconds
        if self._last is not None:
            self._wait(self._last, self.seconds)
            if self._last.is_alive():
                raise TimeoutError
        outcome: _Outcome[T] = _Outcome()
        self._last = Thread(target=outcome.fill, args=(function,), name="delivery", daemon=True)
        self._last.start()
        self._wait(self._last, max(0.0, ends - time.monotonic()))
        if self._last.is_alive():
            with suppress(Exception):
                interrupt()
            # A function that reads a socket notices that at once, and may still return something.
            self._last.join(min(GRACE_S, self.seconds))
            if self._last.is_alive() or outcome.error is not None:
                raise TimeoutError
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def _wait(self, thread: Thread, seconds: float) -> None:
        thread.join(seconds)


class _Outcome(Generic[T]):
    """The result of a call."""

    value: T
    error: BaseException | None = None

    def fill(self, function: Callable[[], T]) -> None:
        """Make the call."""
        try:
            self.value = function()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self.error = error
