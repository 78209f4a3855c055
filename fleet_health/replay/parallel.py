"""Run work in parallel, in forked processes.

This is only for commands, which have one thread, because a process with several threads must not fork.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fleet_health.errors import ProcessFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

T = TypeVar("T")


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


class Beside(Generic[T]):
    """Work in a forked process, which starts when this object is created. Open files and their offsets are shared.

    Raises:
        ProcessFailed: The process cannot be started.

    """

    def __init__(self, work: Callable[[], T]) -> None:
        context = get_context("fork")
        # The child must not be interrupted, because the parent handles the interrupt and ends the child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._connection, theirs = context.Pipe(duplex=False)
            self._process = context.Process(target=_do, args=(work, theirs), daemon=True)
            self._process.start()
        except OSError as error:
            raise ProcessFailed(f"no further process can be started: {error.strerror}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def result(self) -> T:
        """Wait for the work and return its result. Raise its exception, or ProcessFailed if the process ended."""
        try:
            is_done, outcome = self._connection.recv()
        except EOFError:
            self._process.join()
            how = f"ended with status {self._process.exitcode}"
            raise ProcessFailed(f"a parallel process {how}; check that there is enough memory") from None
        self._process.join()
        if not is_done:
            raise outcome
        result: T = outcome
        return result


def _do(work: Callable[[], Any], connection: Connection) -> None:
    try:
        connection.send((True, work()))
    except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
        connection.send((False, error))
