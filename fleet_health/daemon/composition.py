"""The composition root, which creates the parts of the service, connects them, and starts and stops them in order."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - asyncio imports it late, when no descriptor may be left
import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiofiles.os import wrap

from fleet_health.api.documents import Documents
from fleet_health.api.listener import SHARE, Listener, passed_sockets
from fleet_health.api.page.pages import page_files
from fleet_health.api.published_files import PublishedFiles
from fleet_health.api.routes import Api
from fleet_health.api.server import ControlSocket
from fleet_health.api.silence_requests import SilenceRequests
from fleet_health.daemon.reloading import Reloading
from fleet_health.daemon.report import Report
from fleet_health.engine import Engine
from fleet_health.errors import PathHangs, RestartNeeded, SinkTaken, SinkUnavailable
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.counters import Counters
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.records.silence_file import SilenceFile
from fleet_health.records.state_file import StateFile
from fleet_health.service import clock
from fleet_health.service.catch_up import catch_up
from fleet_health.service.configuration import Configuration
from fleet_health.service.delivery import Delivery
from fleet_health.service.descriptors import DescriptorWatch
from fleet_health.service.intake import Intake
from fleet_health.service.parts import Parts
from fleet_health.service.restoring import alert_log_at_start, restored_state
from fleet_health.service.saved_state import SavedState
from fleet_health.service.saving import Saving, state_to_save
from fleet_health.service.service_manager import Pulse, feed_watchdog, notify, watchdog_interval
from fleet_health.service.silencing import Silencing
from fleet_health.service.ticker import Evaluator
from fleet_health.service.witness import SettingsWitness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fleet_health.config.schema import Settings
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

_SETTLE_TIME = 1.5
_LAST_LOOK_TIME = 1.0
_LOOK_AGAIN = 1.0
_PATIENCE_WITHOUT_WATCHDOG = 30.0

_log = structlog.get_logger("fleet_health.service")


class _Stopped(Exception):  # noqa: N818 - it ends a task group, and is no error
    """The service was asked to stop."""


class Daemon:
    """The service, from start to stop."""

    def __init__(self, load: Callable[[], Settings]) -> None:
        """Load the configuration by calling `load`, now and at each reload.

        Raises:
            ConfigError: The configuration cannot be used.

        """
        self._configuration = Configuration(load)
        settings = self._configuration.settings
        self._stop = asyncio.Event()
        self._is_ready = False
        self._is_state_readable = False
        self._descriptors = DescriptorWatch()
        self._watchdog = watchdog_interval()
        patience = _PATIENCE_WITHOUT_WATCHDOG if self._watchdog is None else self._watchdog / 2
        self._pulses = {part: Pulse(part, patience) for part in ("index", "journal", "evaluator", "writer")}
        self._tasks = asyncio.TaskGroup()
        self._counters = Counters()
        self._journal_sink = JournalSink()
        self._state_file = StateFile(settings.state_directory, SavedState)
        self._saving = Saving()
        self._delivery = Delivery(
            AlertLog(settings.alerts_path, is_service=True, rotated=settings.alerts_rotated),
            self._journal_sink,
            self._pulses["writer"],
            self._counters,
            self._state_file,
        )
        self._engine = Engine(settings.rules())
        self._incidents = self._engine.incidents
        self._intake = Intake(
            clock=clock.now,
            start=self._tasks.create_task,
            index_pulse=self._pulses["index"],
            journal_pulse=self._pulses["journal"],
            counters=self._counters,
        )
        self._silencing = Silencing(SilenceFile(settings.state_directory), settings.mute_windows)
        self._evaluator = Evaluator(
            intake=self._intake,
            engine=self._engine,
            delivery=self._delivery,
            pulse=self._pulses["evaluator"],
            clock=clock.now,
            on_scheduled=lambda: self._report.send(),  # noqa: PLW0108 - the report knows the evaluator
            step_watch=clock.StepWatch(),
            silencing=self._silencing,
            witness=SettingsWitness(self._configuration),
            snapshot=self._snapshot,
            is_clock_confirmed=self._is_clock_confirmed,
            counters=self._counters,
        )
        self._evaluator.switch(are_notices_recorded=settings.are_notices_recorded)
        parts = Parts(
            self._configuration,
            self._counters,
            self._delivery,
            self._engine,
            self._evaluator,
            self._intake,
            self._silencing,
        )
        self._report = Report(parts, self._problems)
        self._reloading = Reloading(
            parts,
            self._saving,
            on_switched=lambda: self._control.open(self._settings.control_path),
            on_over=self._report.send_ready,
        )
        documents = Documents(parts, self._problems)
        silences = SilenceRequests(self._silencing, documents.known_hosts, lambda: self._incidents, documents.subjects)

        async def metrics() -> Mapping[str, bytes]:
            path = self._settings.metrics.textfile
            return {} if path is None else {path.name: await documents.metrics(is_file=True)}

        self._files = (
            PublishedFiles("file with the metrics", self._metrics_directory, metrics),
            PublishedFiles("page", lambda: self._settings.page_directory, partial(page_files, documents)),
        )
        self._control = ControlSocket(Api(documents, silences, self._reloading.request))
        # It has its own limits, so its clients never delay those of the control socket.
        self._listener = Listener(Api(documents, silences, self._reloading.request, SHARE))

    @property
    def _settings(self) -> Settings:
        """The settings in force."""
        return self._configuration.settings

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. If a part fails, stop the service and raise the error of that part.

        Raises:
            SinkTaken: The alert log belongs to another service.
            RestartNeeded: The saved state could not be read at the start, but can be read now.

        """
        await self._claim_alert_log()
        self._handle_signals()
        last_state: bytes | None = None
        async with asyncio.TaskGroup() as writers:
            delivery = writers.create_task(self._delivery.run())
            try:
                async with self._tasks:
                    self._tasks.create_task(self._start())
                    await self._stop.wait()
                    last_state = await self._last_state()
                    raise _Stopped  # noqa: TRY301 - cancels the parts
            except* _Stopped:
                pass
            notify("STOPPING=1", "STATUS=Stopping: writing the last alerts")
            _log.info("stopping")
            self._delivery.publication.close()
            await asyncio.gather(self._control.close(), self._listener.close())
            # All parts have stopped, so this is the last write. Notifications that still wait are tried once more.
            self._delivery.deliver((), state=last_state)
            try:
                async with asyncio.timeout(_SETTLE_TIME):
                    await self._delivery.settle()
            except TimeoutError:
                _log.error("stopped with alerts not written", reason="the alert log takes too long")
                self._delivery.send_what_waits()
            delivery.cancel()
        self._journal_sink.close()
        if self._is_state_readable:
            raise RestartNeeded(f"{self._state_file.path}: readable again; restart to restore the saved incidents")

    def _metrics_directory(self) -> Path | None:
        path = self._settings.metrics.textfile
        return None if path is None else path.parent

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._handle_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.request)

    def _handle_stop(self) -> None:
        self._stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):  # a second one kills the process at once
            asyncio.get_running_loop().remove_signal_handler(number)

    async def _start(self) -> None:
        """Start every part; the evaluator last, because the first evaluation needs all that the sources contain."""
        await self._control.open(self._settings.control_path)
        self._listener.open(passed_sockets())
        start = self._tasks.create_task
        if self._watchdog is not None:
            start(feed_watchdog(self._watchdog, self._pulses.values()))
        start(self._report.run())
        self._pulses["evaluator"].rest()
        state = await self._restored_state()
        self._incidents.restore(state.incidents)
        self._silencing.restore(state.silences)
        alert_log = await alert_log_at_start(self._delivery.log, clock.now(), self._incidents.at)
        alert_log.past.restore_to(self._incidents)
        self._delivery.publication.restore(alert_log.recent, state.notices)
        self._evaluator.restore(state.history, disproved_until=state.disproved_until, alert_log_at=alert_log.ahead_at)
        known = state.known_past(self._settings.receivers, self._incidents)
        await self._intake.start(self._settings, self._engine.lookback, known)
        self._is_ready = True
        self._report.send_ready()
        _log.info("ready", sources=[state.summary(clock.now()) for state in self._intake.states])
        start(self._evaluator.run())
        start(self._reloading.run())
        for files in self._files:
            start(files.run(self._delivery.publication))
        start(catch_up(self._delivery, alert_log.undelivered))

    def _is_clock_confirmed(self, now: Instant) -> bool:
        """Return whether a time server or root confirmed the clock within the last hour."""
        confirmation = clock.confirmation_beside(self._settings.control_path)
        self._evaluator.clock_check.confirmation = confirmation
        return clock.is_synchronized(now) or clock.is_confirmed(now, confirmation)

    async def _claim_alert_log(self) -> None:
        log = self._delivery.log
        try:
            await call_at(log.path, log.probe)
        except SinkTaken:
            raise
        except SinkUnavailable:
            pass  # every tick reports this and retries

    async def _restored_state(self) -> SavedState:
        """Read the saved state. If its disk hangs, start without it, and do not overwrite it."""
        file = self._state_file
        try:
            return await call_at(file.path, restored_state, file)
        except PathHangs as error:
            _log.error("state file not readable, started without saved incidents", reason=str(error))
            self._silencing.are_incidents_known = False
            self._delivery.leave_state_alone(file.path, str(error))
            self._tasks.create_task(self._end_when_state_is_readable())
            return SavedState()

    async def _end_when_state_is_readable(self) -> None:
        """Stop the service when the disk of the saved state responds, so that systemd restarts it with that state."""
        while not self._is_state_readable:
            with suppress(PathHangs):
                await call_at(self._state_file.path, self._state_file.path.exists)
                self._is_state_readable = True
            await asyncio.sleep(0 if self._is_state_readable else _LOOK_AGAIN)
        self._stop.set()

    async def _snapshot(self, fleet: Fleet) -> bytes | None:
        now = clock.now()
        state = state_to_save(
            self._incidents,
            self._intake,
            self._settings.receivers,
            self._silencing.watch,
            self._evaluator.history,
            ahead_rows=self._intake.ahead_rows(now),
            disproved=self._intake.disproved(now),
            notices=self._delivery.publication.notices,
        )
        return await wrap(self._saving.due)(state, now, fleet)  # in a thread, because there may be many hosts

    async def _last_state(self) -> bytes | None:
        """Return the state to save when the service stops, including all facts read since the last tick.

        Return None if the state file must stay as it is, because nothing was restored yet or an evaluation is still
        running. Its decisions will not be delivered, so they must not be saved as notified.
        """
        if not self._is_ready:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LOOK_TIME):
                await self._intake.poll()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LOOK_TIME), self._evaluator.deciding, self._intake.paused() as fleet:
                self._saving.expire()
                return await self._snapshot(fleet)
        return None

    def _problems(self) -> list[str]:
        problems = [problem for problem in (self._reloading.problem, self._evaluator.clock_check.problem) if problem]
        problems += [f"{state.name}: {problem}" for state in self._intake.states for problem in state.problems]
        if self._delivery.problem:
            problems.append(f"the alert log cannot be written: {self._delivery.problem}")
        if self._delivery.state_problem:
            problems.append(f"the state cannot be saved: {self._delivery.state_problem}")
        if self._silencing.problem:
            problems.append(f"silences cannot be used: {self._silencing.problem}")
        if problem := self._descriptors.problem():
            problems.append(problem)
        problems += [f"the {files.what} cannot be written: {files.problem}" for files in self._files if files.problem]
        if self._control.problem:
            problems.append(f"control socket not available: {self._control.problem}")
        return problems
