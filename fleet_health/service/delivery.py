"""Delivering alerts: to the alert log, which is the record, then to the journal.

An alert that cannot be written goes to the journal all the same, waits, and is written when there is room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import structlog
from aiofiles.os import wrap

from fleet_health.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.domain.alert import Alert
    from fleet_health.service.notify import Pulse
    from fleet_health.sinks.alert_log import AlertLog
    from fleet_health.sinks.journal import JournalSink

_BATCHES = 1_000
_RETRY_FIRST, _RETRY_LAST = 1.0, 60.0
# A sync on a worn SD card takes seconds; so does the lock, if somebody holds it.
_WRITE_TIME = 10.0

_log = structlog.get_logger("fleet_health.service")


@dataclass(slots=True)
class _Batch:
    alerts: Sequence[Alert]
    is_in_journal: bool = False


class Delivery:
    """Takes alerts, and sees to it that they arrive. One batch is written at a time, off the loop."""

    def __init__(self, log: AlertLog, journal: JournalSink, pulse: Pulse) -> None:
        self.log = log
        self.problem = ""
        """Why the alert log cannot be written; empty if it can."""
        self._journal = journal
        self._pulse = pulse
        self._batches: deque[_Batch] = deque()
        self._retry = _RETRY_FIRST
        self._watched_fd: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._work = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        pulse.rest()

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Take the alerts of one evaluation. With none, the alert log is tried, so that a fault is known in time."""
        if alerts:
            if len(self._batches) == _BATCHES:
                dropped = self._batches.popleft()
                _log.error("alerts given up: too many wait", alerts=[alert.line() for alert in dropped.alerts])
            self._batches.append(_Batch(alerts))
        self._settled.clear()
        self._work.set()

    async def run(self) -> NoReturn:
        """Deliver for ever."""
        while True:
            await self._work.wait()
            self._work.clear()
            self._pulse.beat(_WRITE_TIME)
            try:
                await self._write()
            except SinkUnavailable as error:
                self._postpone(str(error))
            else:
                self._recover()
            self._send_on()
            self._pulse.rest()
            if not self._work.is_set():
                self._settled.set()
            self._schedule_retry()

    async def settle(self) -> None:
        """Wait until everything taken so far has arrived, or was tried."""
        await self._settled.wait()

    async def _write(self) -> None:
        if not self._batches:
            await wrap(self.log.probe)()
        while self._batches:
            batch = self._batches[0]
            written = await wrap(self.log.append)(batch.alerts)
            if self._batches and self._batches[0] is batch:  # else it was given up meanwhile, to be written after all
                self._batches.popleft()
            if not batch.is_in_journal:
                self._journal.take(written)
            self._pulse.beat(_WRITE_TIME)

    def _postpone(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("the alert log cannot be written; alerts wait, and go to the journal", reason=problem)
        self.problem = problem
        self._retry = min(self._retry * 2, _RETRY_LAST)
        for batch in self._batches:
            if not batch.is_in_journal:
                batch.is_in_journal = True
                self._journal.take(batch.alerts)

    def _schedule_retry(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        has_no_journald = self._journal.has_pending and self._journal.fd is None
        if self._batches or has_no_journald:
            self._timer = loop.call_later(self._retry, self._work.set)

    def _send_on(self) -> None:
        """Send what waits for journald, and go on when it takes more. While it stands still this costs nothing."""
        loop = asyncio.get_running_loop()
        if self._watched_fd is not None:
            loop.remove_writer(self._watched_fd)  # before sending, which may close it
        self._journal.flush()
        self._watched_fd = self._journal.fd if self._journal.has_pending else None
        if self._watched_fd is not None:
            loop.add_writer(self._watched_fd, self._send_on)

    def _recover(self) -> None:
        if self.problem:
            _log.info("the alert log can be written again", path=str(self.log.path))
        self.problem, self._retry = "", _RETRY_FIRST
