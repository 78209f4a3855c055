"""The composition root: which parts run, in which order they start and stop, and which of them know each other."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - asyncio imports it late, when no descriptor may be left
import signal
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import structlog
from aiofiles.os import wrap

from fleet_health.alerting.lifecycle import ENDED
from fleet_health.alerting.silences import SilenceWatch
from fleet_health.api.answers import CONFIGURATION, Answers
from fleet_health.api.listener import SHARE, Listener, passed_sockets
from fleet_health.api.overview import by_subject, host_states
from fleet_health.api.page.pages import page_files
from fleet_health.api.published_files import PublishedFiles
from fleet_health.api.routes import Api
from fleet_health.api.server import ControlSocket
from fleet_health.api.states import STATES
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.engine import Engine
from fleet_health.errors import ConfigError, PathHangs, Problem, RestartNeeded, SinkTaken, SinkUnavailable
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.clock_evidence import ALERT_LOG
from fleet_health.model.counters import Counters
from fleet_health.model.history import History
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.records.silence_file import SilenceFile
from fleet_health.records.state_file import StateFile
from fleet_health.service import clock
from fleet_health.service.catch_up import catch_up, recorded, recorded_since
from fleet_health.service.delivery import Delivery
from fleet_health.service.descriptors import DescriptorWatch
from fleet_health.service.intake import Intake
from fleet_health.service.publication import KEPT_US
from fleet_health.service.restoring import PastAlerts, newest_alert_at, past_alerts_or_none, restored_state
from fleet_health.service.saved_state import SavedState
from fleet_health.service.saving import Saving, state_to_save
from fleet_health.service.service_manager import Pulse, feed_watchdog, notify, watchdog_interval
from fleet_health.service.silencing import Silencing
from fleet_health.service.status import starting_line, status_line
from fleet_health.service.ticker import Evaluator
from fleet_health.service.witness import SettingsWitness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from fleet_health.alerting.alert import Alert, Notice
    from fleet_health.alerting.rules import Rules
    from fleet_health.config.schema import Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.service.receiver_sources import PreparedSources

_REPORT_EVERY = 5.0
_REPORT_EVERY_STARTING = 1.0
_SETTLE_TIME = 1.5
_LAST_LOOK_TIME = 1.0
_LOOK_AGAIN = 1.0
_EXTENSION_US = 30_000_000
_PATIENCE_WITHOUT_WATCHDOG = 30.0

_log = structlog.get_logger("fleet_health.service")


class _Stopped(Exception):  # noqa: N818 - not an error: it ends a task group
    """The service was asked to stop."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a reload switches to in one step.

    Attributes:
        settings: The settings.
        rules: The rules of these settings.
        log: The alert log; the same one if its path has not changed.
        past: The past alerts in the new alert log; none if it is the same one.
        sources: The sources; the new ones have been read to their end.

    """

    settings: Settings
    rules: Rules
    log: AlertLog
    past: PastAlerts
    sources: PreparedSources


class Daemon:
    """The service, from its start to its end."""

    def __init__(self, load: Callable[[], Settings]) -> None:
        """Load the configuration, now and at each reload, by calling `load`.

        Raises:
            ConfigError: The configuration cannot be used.

        """
        self._load = load
        self._settings = load()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._reload_problem = ""
        self._is_ready = False
        self._is_state_readable = False
        self._is_state_left_out = False
        """Whether the saved state was not read because its disk hangs. Then it must not be overwritten."""
        self._descriptors = DescriptorWatch()
        self._watchdog = watchdog_interval()
        patience = _PATIENCE_WITHOUT_WATCHDOG if self._watchdog is None else self._watchdog / 2
        self._pulses = {part: Pulse(part, patience) for part in ("index", "journal", "evaluator", "writer")}
        self._parts = asyncio.TaskGroup()
        self._counters = Counters()
        self._journal_sink = JournalSink()
        self._state_file = StateFile(self._settings.state_directory, SavedState)
        self._delivery = Delivery(
            AlertLog(self._settings.alerts_path, is_service=True, rotated=self._settings.alerts_rotated),
            self._journal_sink,
            self._pulses["writer"],
            self._counters,
            self._state_file,
        )
        self._engine = Engine()
        self._incidents = self._engine.incidents
        self._intake = Intake(
            clock=clock.now,
            start=self._parts.create_task,
            index_pulse=self._pulses["index"],
            journal_pulse=self._pulses["journal"],
            counters=self._counters,
        )
        self._saving = Saving()
        self._counted: dict[str, int] = {}
        """State -> how many hosts are in it."""
        self._counted_for: tuple[Evaluation | None, Settings | None] = (None, None)
        """The evaluation and the settings that were counted."""
        self._silencing = Silencing(SilenceFile(self._settings.state_directory))
        self._evaluator = Evaluator(
            intake=self._intake,
            engine=self._engine,
            delivery=self._delivery,
            pulse=self._pulses["evaluator"],
            clock=clock.now,
            on_scheduled=self._report,
            step_watch=clock.StepWatch(),
            silencing=self._silencing,
            witness=SettingsWitness(lambda: self._settings),
            snapshot=self._snapshot,
            is_synchronized=self._is_clock_confirmed,
            counters=self._counters,
        )
        answers = Answers(
            intake=self._intake,
            evaluator=self._evaluator,
            engine=self._engine,
            silencing=self._silencing,
            delivery=self._delivery,
            counters=self._counters,
            settings=lambda: self._settings,
            problems=self._problems,
            load=load,
            reload=self._reload.set,
        )

        async def metrics() -> Mapping[str, bytes]:
            path = self._settings.metrics.textfile
            return {} if path is None else {path.name: await answers.metrics(is_file=True)}

        self._files = (
            PublishedFiles("file with the metrics", self._metrics_directory, metrics),
            PublishedFiles("page", lambda: self._settings.page_directory, partial(page_files, answers)),
        )
        self._control = ControlSocket(Api(answers))
        # It has its own limits, so clients of the read-only listener never make those of the control socket wait.
        self._listener = Listener(Api(answers, SHARE))
        self._engine.adopt(self._settings.rules())
        self._silencing.switch(self._silencing.file, self._settings.mute_windows)
        self._evaluator.switch(are_notices_recorded=self._settings.are_notices_recorded)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. If a part fails, end the service and raise what it raised.

        Raises:
            SinkTaken: The alert log belongs to another service.
            RestartNeeded: The saved state could not be read at the start, and now it can.

        """
        await self._claim_alert_log()
        self._handle_signals()
        last_state: bytes | None = None
        async with asyncio.TaskGroup() as writers:
            delivery = writers.create_task(self._delivery.run())
            try:
                async with self._parts:
                    self._parts.create_task(self._start())
                    await self._stop.wait()
                    last_state = await self._last_state()
                    raise _Stopped  # noqa: TRY301 - cancels the parts
            except* _Stopped:
                pass
            notify("STOPPING=1", "STATUS=Stopping: writing the last alerts")
            _log.info("stopping")
            self._delivery.publication.close()
            await asyncio.gather(self._control.close(), self._listener.close())
            # All parts have ended, so nothing is written after this. What is still waiting is tried once more.
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
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _handle_stop(self) -> None:
        self._stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):  # a second one kills the process at once
            asyncio.get_running_loop().remove_signal_handler(number)

    async def _start(self) -> None:
        """Start every part. Evaluate last: the first evaluation must see everything that the sources hold."""
        await self._control.open(self._settings.control_path)
        self._listener.open(passed_sockets())
        start = self._parts.create_task
        if self._watchdog is not None:
            start(feed_watchdog(self._watchdog, self._pulses.values()))
        start(self._report_for_ever())
        self._pulses["evaluator"].rest()
        state = await self._restored_state()
        self._incidents.restore(state.incidents)
        self._silencing.watch = SilenceWatch(state.silences)
        self._evaluator.history = History(state.history)
        self._evaluator.disproved_until = state.disproved_until
        self._intake.restore(state.known_past(self._settings.receivers))
        now = clock.now()
        past, entries, newest_at = await self._read_alert_log(now)
        self._delivery.publication.restore(await self._read_notified(now), state.notices)
        past.restore_to(self._incidents)
        self._intake.distrust(after=self._incidents.at, until=state.disproved_until)
        self._evaluator.records[ALERT_LOG] = newest_at
        # Before the sources are read: the journal may hold a flood of invented names.
        self._intake.protect(self._incidents.anchored, self._incidents.once_uploaded)
        await self._intake.adopt(self._settings, self._engine.lookback)
        self._is_ready = True
        notify("READY=1", f"STATUS={self._status()}")
        _log.info("ready", sources=[state.summary(clock.now()) for state in self._intake.states])
        start(self._evaluator.run())
        start(self._reload_for_ever())
        for files in self._files:
            start(files.run(self._delivery.publication))
        start(catch_up(self._delivery, entries))

    def _is_clock_confirmed(self, now: Instant) -> bool:
        """Return whether a time server or root has confirmed the clock within the hour."""
        confirmation = clock.confirmation_beside(self._settings.control_path)
        self._evaluator.clock_state.confirmation = confirmation
        return clock.is_synchronized(now) or clock.is_confirmed(now, confirmation)

    async def _claim_alert_log(self) -> None:
        log = self._delivery.log
        try:
            await call_at(log.path, log.probe)
        except SinkTaken:
            raise
        except SinkUnavailable:
            pass  # every tick reports it and tries again

    async def _restored_state(self) -> SavedState:
        """Read the saved state. If its disk hangs, start without it, and do not overwrite it."""
        file = self._state_file
        try:
            return await call_at(file.path, restored_state, file)
        except PathHangs as error:
            _log.error("state file not readable, started without saved incidents", reason=str(error))
            self._is_state_left_out = True
            self._silencing.are_incidents_known = False
            self._delivery.leave_state_alone(str(error))
            self._parts.create_task(self._end_when_state_is_readable())
            return SavedState()

    async def _end_when_state_is_readable(self) -> None:
        """End the service when the disk of the saved state responds: systemd restarts it, and it restores the state."""
        while not self._is_state_readable:
            with suppress(PathHangs):
                await call_at(self._state_file.path, self._state_file.path.exists)
                self._is_state_readable = True
            await asyncio.sleep(0 if self._is_state_readable else _LOOK_AGAIN)
        self._stop.set()

    async def _read_alert_log(self, now: Instant) -> tuple[PastAlerts, list[Alert | Notice], Instant | None]:
        """Return the past alerts, those that the journal may lack, and the newest row dated ahead of the clock."""
        log, saved_at = self._delivery.log, self._incidents.at

        def read() -> tuple[PastAlerts, list[Alert | Notice], Instant | None]:
            return past_alerts_or_none(log, now, saved_at), recorded(log, now, saved_at), newest_alert_at(log, now)

        try:
            return await call_at(log.path, read)
        except PathHangs as error:
            _log.error("alert log not readable, alerts of this hour unknown", reason=str(error))
            return PastAlerts(), [], None

    async def _read_notified(self, now: Instant) -> list[Alert | Notice]:
        """Return the recent notifications in the alert log, for clients that follow them."""
        log = self._delivery.log
        with suppress(PathHangs):  # already logged by `_read_alert_log`
            return await call_at(log.path, recorded_since, log, now - KEPT_US, now)
        return []

    async def _snapshot(self, fleet: Fleet) -> bytes | None:
        now = clock.now()
        state = state_to_save(
            self._incidents,
            self._intake,
            self._settings.receivers,
            self._silencing.watch,
            self._evaluator.history,
            # While the clock is behind, every row is dated ahead.
            ahead_rows={} if self._evaluator.clock_state.is_behind else self._intake.ahead_rows(now),
            notices=self._delivery.publication.notices,
        )
        return await wrap(self._saving.due)(state, now, fleet)  # off the loop: there may be many hosts

    async def _last_state(self) -> bytes | None:
        """Return the state to save at the end, with everything that was read since the last tick.

        Return None if the state file must stay as it is: nothing was restored yet, or an evaluation is still running.
        What that one has decided is not delivered, so it must not be saved as notified.
        """
        if not self._is_ready:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LOOK_TIME):
                await self._intake.poll()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LOOK_TIME), self._evaluator.deciding, self._intake.paused() as fleet:
                self._saving = Saving()  # it is written even if little has changed
                return await self._snapshot(fleet)
        return None

    async def _report_for_ever(self) -> NoReturn:
        """Keep STATUS= up to date. While starting, ask systemd for more time as long as there is progress."""
        read_before = -1
        while True:
            if self._is_ready:
                self._report()
                await asyncio.sleep(_REPORT_EVERY)
                continue
            states = self._intake.states
            assignments = [f"STATUS={starting_line(states, clock.now())}"]
            if (read := sum(state.read for state in states)) > read_before:
                read_before = read
                assignments.append(f"EXTEND_TIMEOUT_USEC={_EXTENSION_US}")
            notify(*assignments)
            await asyncio.sleep(_REPORT_EVERY_STARTING)

    def _report(self) -> None:
        notify(f"STATUS={self._status()}")

    def _status(self) -> str:
        return status_line(
            hosts_by_state=self._hosts_by_state(),
            sources=self._intake.states,
            last=self._engine.last,
            next_at=self._evaluator.next_at,
            decisions=self._engine.decisions,
            problems=self._problems(),
            now=clock.now(),
        )

    def _hosts_by_state(self) -> dict[str, int]:
        """Return how many hosts are in each state. Count once per evaluation: 10,000 hosts take 9 ms of the loop."""
        counted_for = (self._engine.last, self._settings)
        if None in counted_for or any(old is not new for old, new in zip(self._counted_for, counted_for, strict=True)):
            self._counted_for, self._counted = counted_for, self._count_hosts()
        return self._counted

    def _count_hosts(self) -> dict[str, int]:
        now, last = clock.now(), self._engine.last
        hidden = frozenset[str]().union(*(() if last is None else last.hidden.values()))
        decisions = by_subject(one for one in self._engine.decisions if one.state not in ENDED)
        states = Counter(host_states(self._settings, self._intake.fleet, decisions, hidden, now).values())
        return {state: states[state] for state in STATES if states[state]}

    def _problems(self) -> list[str]:
        problems = [problem for problem in (self._reload_problem, self._evaluator.clock_state.problem) if problem]
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

    async def _reload_for_ever(self) -> NoReturn:
        while True:
            await self._reload.wait()
            self._reload.clear()  # requests that came meanwhile are served by this reload
            notify(
                "RELOADING=1",
                f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}",
                "STATUS=Reloading the configuration",
            )
            try:
                async with self._prepared(await self._loaded()) as prepared:
                    close_old = self._switch(prepared)
            except ConfigError as error:
                for problem in error.problems:
                    _log.error("configuration refused, previous one kept", file=str(error.path), problem=str(problem))
                more = f" and {len(error.problems) - 1} more" if len(error.problems) > 1 else ""
                self._counters.reloads["refused"] += 1
                self._reload_problem = f"reload refused: {error.problems[0]}{more}"
            else:
                self._reload_problem = ""
                self._counters.reloads["taken"] += 1
                await close_old()
                await self._control.open(self._settings.control_path)
                _log.info("configuration reloaded")
            # systemd waits for this even if the new configuration was refused.
            notify("READY=1", f"STATUS={self._status()}")

    async def _loaded(self) -> Settings:
        """Load the configuration again.

        Raises:
            ConfigError: It cannot be read or used.

        """
        try:
            return await call_at(CONFIGURATION, self._load)
        except PathHangs as error:
            raise ConfigError("configuration", [Problem("file", "one that can be read", str(error))]) from error

    @asynccontextmanager
    async def _prepared(self, settings: Settings) -> AsyncIterator[_Prepared]:
        """Do every part of a reload that can fail or takes time. Call `_switch` within the context.

        Raises:
            ConfigError: The alert log cannot be used. Nothing has changed.

        """
        log, now = await self._log_at(settings), clock.now()
        past = PastAlerts()
        if log is not self._delivery.log:
            try:
                await call_at(log.path, log.probe)
                past = await call_at(log.path, past_alerts_or_none, log, now, self._incidents.at)
            except SinkUnavailable as error:
                problem = Problem("alerts.path", "a file that can be written", str(error))
                raise ConfigError("configuration", [problem]) from error
        rules = settings.rules()
        async with self._intake.prepared(settings, lookback_of(rules.detectors)) as sources:
            yield _Prepared(settings, rules, log, past, sources)

    async def _log_at(self, settings: Settings) -> AlertLog:
        """Return the alert log of some settings: the present one if their path leads to the same file."""
        path, present = settings.alerts_path, self._delivery.log
        other = AlertLog(path, is_service=True, rotated=settings.alerts_rotated)
        if path == present.path:
            return present
        try:
            is_same = await call_at(path, other.place) == await call_at(present.path, present.place)
        except SinkUnavailable:
            is_same = False
        return present if is_same else other

    def _switch(self, new: _Prepared) -> Callable[[], Awaitable[None]]:
        """Switch to other settings: the point of no return. Nothing here waits, reads, writes or fails.

        Return a function that closes the sources and the alert log that are no longer used.
        """
        settings, old_log = new.settings, self._delivery.log
        self._settings = settings
        self._saving = Saving()
        new.log.rotated = settings.alerts_rotated
        new.past.restore_to(self._incidents)
        self._engine.adopt(new.rules)
        self._delivery.switch(new.log, StateFile(settings.state_directory, SavedState))
        if self._is_state_left_out and settings.state_directory == self._state_file.path.parent:
            self._delivery.leave_state_alone(self._delivery.state_problem)
        self._silencing.switch(SilenceFile(settings.state_directory), settings.mute_windows)
        close_sources = self._intake.switch(new.sources)
        self._evaluator.switch(are_notices_recorded=settings.are_notices_recorded)

        async def close_old() -> None:
            await close_sources()
            if old_log is not new.log:
                with suppress(PathHangs):  # the end of the process releases its lock
                    await call_at(old_log.path, old_log.close)

        return close_old
