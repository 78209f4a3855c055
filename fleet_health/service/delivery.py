"""Deliver notifications to the alert log, which is the record, and then to the journal.

If the alert log cannot be written, its alerts go to the journal at once, and to the alert log as soon as possible. The
state is saved only when no notification waits, because what the state shows as notified must be in the alert log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from aiofiles.os import wrap

from fleet_health.errors import SinkUnavailable
from fleet_health.files.hanging_calls import LIMIT_S, call_at
from fleet_health.model.backoff import Backoff
from fleet_health.service.footprint import give_back_memory
from fleet_health.service.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fleet_health.alerting.alert import Alert, Notice
    from fleet_health.model.counters import Counters
    from fleet_health.records.alert_log import AlertLog
    from fleet_health.records.journal_sink import JournalSink
    from fleet_health.records.state_file import StateFile
    from fleet_health.service.service_manager import Pulse

_BATCHES = 1_000

_log = structlog.get_logger("fleet_health.service")


@dataclass(slots=True)
class _Batch:
    recorded: Sequence[Alert | Notice]
    journal_only: Sequence[Notice]
    is_in_journal: bool = False


class Delivery:
    """Queues notifications and writes them, one batch at a time, in a thread."""

    def __init__(
        self,
        log: AlertLog,
        journal: JournalSink,
        pulse: Pulse,
        counters: Counters,
        state_file: StateFile[Any] | None = None,
    ) -> None:
        self.log = log
        self.state_file = state_file
        self.publication = Publication()
        """The published notifications, for clients that follow."""
        self.problem = ""
        """The reason why the alert log cannot be written; empty if it can."""
        self.state_problem = ""
        """The reason why the state cannot be saved; empty if it can."""
        self._journal = journal
        self._pulse = pulse
        self._counters = counters
        self._batches: deque[_Batch] = deque()
        self._state: bytes | None = None
        self._unread_state: Path | None = None
        """The path of a state file that could not be read and must not be overwritten; None if there is none."""
        self._backoff = Backoff()
        self._watched_fd: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._journal_backoff = Backoff()
        self._journal_timer: asyncio.TimerHandle | None = None
        self._work = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        pulse.rest()

    def switch(self, log: AlertLog, state_file: StateFile[Any]) -> None:
        """Replace the alert log and the state file. Waiting notifications go to the new ones."""
        self.log = log
        self.state_file = None if state_file.path == self._unread_state else state_file

    def leave_state_alone(self, path: Path, problem: str) -> None:
        """Protect the state file at a path from being overwritten, because it could not be read.

        `problem` is the reason, for the status.
        """
        self._unread_state, self.state_file, self.state_problem = path, None, problem

    def deliver(
        self, recorded: Sequence[Alert | Notice], journal_only: Sequence[Notice] = (), *, state: bytes | None = None
    ) -> None:
        """Queue the notifications of one evaluation. If there are none, check that the alert log can be written.

        Args:
            recorded: The notifications for the alert log and the journal.
            journal_only: The notices for the journal alone.
            state: The state to save once all notifications are written; None to save none.

        """
        if recorded or journal_only:
            if len(self._batches) == _BATCHES:
                dropped = self._batches.popleft()
                self._counters.deliveries["alert log", "dropped"] += len(dropped.recorded)
                _log.error(
                    "alert queue full, dropped oldest batch", alerts=[alert.line() for alert in dropped.recorded]
                )
            self._batches.append(_Batch(recorded, journal_only))
        if state is not None:
            self._state = state
        self._settled.clear()
        self._work.set()

    async def run(self) -> NoReturn:
        """Deliver forever."""
        while True:
            await self._work.wait()
            self._work.clear()
            self._pulse.beat(LIMIT_S)
            try:
                await self._write()
            except SinkUnavailable as error:
                self._postpone(str(error))
            else:
                self._recover()
                await self._save()
            self._send_on()
            await wrap(give_back_memory)()  # memory that the evaluation, or the catch-up before the first one, used
            self.publication.publish()  # no await before the delivery is settled, because clients see both
            self._pulse.rest()
            if not self._work.is_set():
                self._settled.set()
            self._schedule_retry()

    def send_what_waits(self) -> None:
        """Send the notifications that still wait for the alert log to the journal, because the service ends."""
        self._take_what_waits()
        self._send_on()

    def send(self, entries: Sequence[Alert | Notice]) -> None:
        """Send notifications from the alert log to the journal."""
        self._journal.take(entries)
        self._send_on()

    def send_mark(self, mark: str) -> None:
        """Send an entry to the journal that marks the present position."""
        self._journal.mark(mark)
        self._send_on()

    async def settle(self) -> None:
        """Wait until every queued notification has been written or tried."""
        await self._settled.wait()

    @property
    def journal_outcomes(self) -> Mapping[str, int]:
        """Outcome (`delivered`, `failed`, `dropped`) -> number of notifications for the journal."""
        return self._journal.outcomes

    @property
    def waiting(self) -> int:
        """The number of notifications that wait for the alert log."""
        return sum(len(batch.recorded) for batch in self._batches)

    @property
    def is_settled(self) -> bool:
        """Whether every queued notification has been written or tried."""
        return self._settled.is_set()

    async def _write(self) -> None:
        if not self._batches:
            await call_at(self.log.path, self.log.probe)
        while self._batches:
            batch = self._batches[0]
            written = await call_at(self.log.path, self.log.append, batch.recorded)
            self._counters.deliveries["alert log", "delivered"] += len(written)
            # The batch may have been dropped from the queue while it was written.
            if self._batches and self._batches[0] is batch:
                self._batches.popleft()
            if not batch.is_in_journal:
                self._journal.take(written)
                self._journal.take(batch.journal_only)
                self.publication.take([*batch.recorded, *batch.journal_only])
                self._send_on()  # before the state is saved, in case the process is killed in between
            self._pulse.beat(LIMIT_S)

    async def _save(self) -> None:
        if self.state_file is None or self._state is None:
            return
        state, self._state = self._state, None
        self._pulse.beat(LIMIT_S)
        try:
            await call_at(self.state_file.path, self.state_file.save, state)
        except SinkUnavailable as error:
            if not self.state_problem:
                _log.error("state file not writable, a restart may repeat alerts", reason=str(error))
            self.state_problem = str(error)
        else:
            self.state_problem = ""

    def _postpone(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("alert log not writable, alerts queued and sent to the journal", reason=problem)
        self.problem = problem
        self._counters.retries["alert log"] += 1
        self._counters.deliveries["alert log", "failed"] += sum(len(batch.recorded) for batch in self._batches)
        self._backoff.grow()
        self._take_what_waits()

    def _take_what_waits(self) -> None:
        for batch in self._batches:
            if not batch.is_in_journal:
                batch.is_in_journal = True
                self._journal.take(batch.recorded)
                self._journal.take(batch.journal_only)
                self.publication.take([*batch.recorded, *batch.journal_only])

    def _schedule_retry(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batches:
            self._timer = loop.call_later(self._backoff.wait_s, self._work.set)

    def _send_on(self) -> None:
        """Send waiting notifications as fast as journald accepts them. Without journald, retry with backoff."""
        loop = asyncio.get_running_loop()
        if self._watched_fd is not None:
            loop.remove_writer(self._watched_fd)  # before sending, which may close it
        if self._journal_timer is not None:
            self._journal_timer.cancel()
            self._journal_timer = None
        self._journal.flush()
        self._watched_fd = self._journal.fd if self._journal.has_pending else None
        if self._watched_fd is not None:
            loop.add_writer(self._watched_fd, self._send_on)
        elif self._journal.has_pending:
            self._journal_timer = loop.call_later(self._journal_backoff.wait_s, self._send_on)
            self._journal_backoff.grow()
        else:
            self._journal_backoff.reset()

    def _recover(self) -> None:
        if self.problem:
            _log.info("alert log writable again", path=str(self.log.path))
        self.problem = ""
        self._backoff.reset()
