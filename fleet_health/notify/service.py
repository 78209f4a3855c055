"""The process: it watches the daemon, keeps the ledger, and has one courier for each destination.

What stands comes from the daemon, what was sent from the ledger. Neither is remembered here, so the process can be
killed at any instant. The configuration is reloaded as a whole or not at all.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from fleet_health.api.published_files import PublishedFiles
from fleet_health.api.server import ControlSocket
from fleet_health.config.destinations.shared import WATCH_STOPPED
from fleet_health.errors import ConfigError, PathHangs, Problem
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.instant import HOUR_US, SECOND_US, describe, isoformat
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.words import plural
from fleet_health.notify.control import Control
from fleet_health.notify.couriers.evaluated import Evaluated
from fleet_health.notify.couriers.heartbeat import HeartbeatCourier
from fleet_health.notify.couriers.level import LevelCourier
from fleet_health.notify.couriers.messages import MessageCourier
from fleet_health.notify.documents import Incident
from fleet_health.notify.ledger.known_incidents import OWN
from fleet_health.notify.ledger.ledger import Ledger
from fleet_health.notify.metrics import metrics
from fleet_health.notify.overview import Overview, Row
from fleet_health.notify.reconcile import Queue, Recipient, changes
from fleet_health.notify.retry import SystemClock
from fleet_health.notify.watch import WAIT_S, DaemonSilentError, DaemonWatch
from fleet_health.notify.worker import Worker
from fleet_health.service.service_manager import Pulse, feed_watchdog, notify, watchdog_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.config.schema import Settings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.couriers.courier import Courier
    from fleet_health.notify.destination import Build
    from fleet_health.notify.documents import Document
    from fleet_health.notify.ledger.standing import Standing
    from fleet_health.notify.retry import Clock

STOPPED_AFTER_TICKS = 3
"""After how many ticks without an evaluation the watch counts as stopped."""
ALLOWANCE_S = 5.0
"""How much longer: for so long a source that hangs delays an evaluation."""

_ASK_AGAIN_S = (0.2, 0.5, 1.0, 2.0, 3.0)
_LOOK_EVERY_S = 30.0
_LOOK_SOON_S = 5.0
_GIVE_UP_EVERY_S = 600.0
_PRUNE_EVERY_S = 86_400.0
_COPY_EVERY_S = 60.0
_OWN_KEPT_US = 7 * 24 * HOUR_US
_STOP_TIME_S, _CLOSE_TIME_S = 5.0, 1.0
_PATIENCE_S = 60.0
_FIX = (
    "On the machine of fleet-health: look at `systemctl status fleet-health` and `journalctl -u fleet-health`, and"
    " start it. Until then nobody is notified of anything else."
)

_CONFIGURATION = Path("configuration of notify")
"""The path under which `call_at` counts the calls that read the configuration."""

_COURIERS = {"heartbeat": HeartbeatCourier, "alertmanager": LevelCourier}
"""Which courier a type has; any other one has that of messages."""

_log = structlog.get_logger("fleet_health.notify")


class _Stopped(Exception):  # noqa: N818 - no error, but how a task group is left
    """The process was asked to stop."""


class Notifier:
    """The process, from its start to its end."""

    def __init__(self, load: Callable[[], Settings], build: Build, clock: Clock | None = None) -> None:
        """Take how the configuration is loaded, how a destination is made, and the clocks.

        Raises:
            ConfigError: The configuration cannot be used.

        """
        self._load, self._build = load, build
        self._clock = clock or SystemClock()
        self._settings = load()
        self._ledger = Ledger(self._settings.notify_directory)
        self._account = Worker("ledger")
        self._watch = DaemonWatch(self._settings.control_path)
        self._couriers: dict[str, Courier] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._parts = asyncio.TaskGroup()
        self._since: Mapping[str, Instant] = {}
        self._incidents: Sequence[Incident] = ()
        self._own: list[Incident] = []
        self._document: Document | None = None
        self._evaluated_s = self._clock.monotonic()
        self._daemon_problem = ""
        self._reload_problem = ""
        self._stop, self._reload, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._given_up_s = self._pruned_s = self._copied_s = float("-inf")
        self._said = ""
        self._watchdog = watchdog_interval()
        patience = _PATIENCE_S if self._watchdog is None else self._watchdog / 2
        self._pulses = {part: Pulse(part, patience) for part in ("watch", "ledger")}
        self._control = ControlSocket(Control(self))
        self._files = PublishedFiles("file with the metrics", self._metrics_directory, self._metrics)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            StoreTaken: Another process has the ledger.
            StoreUnavailable: The ledger is of a newer version.

        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        await self._account.call(self._ledger.open)
        await self._serve()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIME_S):
                await self._account.call(self._ledger.close)

    def stop(self) -> None:
        """Come to an end."""
        self._stop.set()

    async def _serve(self) -> None:
        """Run the parts until the process is to stop, which is raised as `_Stopped`."""
        self._own = await self._account.call(self._ledger.incidents.own, WATCH_STOPPED)
        self._incidents = await self._account.call(self._ledger.incidents.still_open)
        self._incidents = [one for one in self._incidents if one.symptom != WATCH_STOPPED]
        try:
            async with self._parts:
                await self._adopt(self._settings)
                await self._control.open(self._settings.notify_control_path)
                notify("READY=1")
                _log.info("notify ready", destinations=sorted(self._couriers))
                await self._report()
                start = self._parts.create_task
                start(self._watch_for_ever())
                start(self._look_after_for_ever())
                start(self._reload_for_ever())
                if self._watchdog is not None:
                    start(feed_watchdog(self._watchdog, self._pulses.values()))
                await self._stop.wait()
                await self._settle()
                raise _Stopped  # noqa: TRY301 - cancels the parts
        except* _Stopped:
            pass

    async def _settle(self) -> None:
        """Wait for messages that are being sent, if that does not take long."""
        notify("STOPPING=1", "STATUS=Stopping: waiting for responses")
        _log.info("notify stopping")
        for courier in self._couriers.values():
            courier.end()
        await self._control.close()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_STOP_TIME_S)
        for courier in self._couriers.values():  # of a heartbeat it is recorded only now: it comes at each tick
            if courier.last_success_at is not None and not courier.failing:
                await self._account.call(self._ledger.outbox(courier.name).note_reached, courier.last_success_at)

    async def _adopt(self, settings: Settings) -> None:
        """Change over to other destinations. One that is being called goes on alone once that has ended."""
        self._settings = settings
        now = self._clock.now()
        await self._account.call(self._ledger.meet, {one.name: _identity(one) for one in settings.destinations}, now)
        standings = await self._account.call(self._ledger.standings)
        self._since = {name: one.since for name, one in standings.items()}
        if self._watch.path != settings.control_path:
            self._watch = DaemonWatch(settings.control_path)
        old = self._couriers
        for courier in old.values():
            courier.end()
        self._couriers = {one.name: self._courier(one, standings[one.name]) for one in settings.destinations}
        start, before = self._parts.create_task, self._tasks
        self._tasks = {name: start(_run_after(before.get(name), courier)) for name, courier in self._couriers.items()}
        await self._reconcile(now)

    def _courier(self, settings: DestinationSettings, standing: Standing) -> Courier:
        kind = _COURIERS.get(settings.type, MessageCourier)
        courier = kind(
            settings,
            outbox=self._ledger.outbox(settings.name),
            account=self._account,
            build=self._build,
            clock=self._clock,
            on_change=self._news.set,
        )
        courier.gone, courier.last_success_at = standing.gone, standing.last_success_at
        return courier

    # The daemon.

    async def _watch_for_ever(self) -> NoReturn:
        failures = 0
        while True:
            self._pulses["watch"].beat(WAIT_S + 60)
            try:
                document = await self._watch.next_document()
            except DaemonSilentError as error:
                if not self._daemon_problem:
                    _log.warning("daemon does not respond", reason=str(error))
                self._daemon_problem = str(error)
                self._news.set()
                await asyncio.sleep(_ASK_AGAIN_S[min(failures, len(_ASK_AGAIN_S) - 1)])
                failures += 1
                continue
            failures = 0
            if self._daemon_problem:
                _log.info("daemon responds again")
                self._daemon_problem = ""
            if document is not None:
                await self._take(document)

    async def _take(self, document: Document) -> None:
        """Record what the daemon lists after an evaluation."""
        now, before = self._clock.now(), self._document
        self._document = document
        if before is None or before.evaluated_at != document.evaluated_at:
            self._evaluated_s = self._clock.monotonic()
            await self._end_stopped(document.evaluated_at, now)
        self._incidents = await self._account.call(self._ledger.incidents.take, document.incidents, now)
        await self._reconcile(now)
        self._news.set()

    async def _reconcile(self, now: Instant) -> None:
        """Queue for each destination what it is to be sent, and wake those that have something to do."""
        incidents = (*self._incidents, *self._own)
        for courier in self._couriers.values():
            if not isinstance(courier, HeartbeatCourier):
                await self._account.call(self._queue, courier, incidents, now)
        latest = self._evaluated(incidents)
        for courier in self._couriers.values():
            courier.wake(latest)

    def _queue(self, courier: Courier, incidents: Sequence[Incident], now: Instant) -> None:
        name, outbox = courier.name, self._ledger.outbox(courier.name)
        recipient = Recipient(courier.settings, self._since[name], is_level=isinstance(courier, LevelCourier))
        wanted = changes(incidents, outbox.entries(), recipient, now)
        if wanted:
            outbox.apply(wanted, now)
            queued = sum(isinstance(change, Queue) for change in wanted)
            _log.debug("notifications queued", destination=name, notifications=queued)

    def _evaluated(self, incidents: Sequence[Incident]) -> Evaluated | None:
        """Return the latest evaluation for the couriers; None before the first."""
        document, standing = self._document, tuple(one for one in incidents if one.is_standing)
        if document is None and not standing:
            return None
        problems = () if document is None else (*document.problems, *([document.blind] if document.blind else []))
        at = None if document is None else document.evaluated_at
        summary = "; ".join(problems) or plural(len(standing), "incident")
        if at is not None:
            summary = f"evaluated at {isoformat(at)}: {summary}"
        return Evaluated(at, not problems, summary, standing, self._settings.tick_us)

    async def _look_whether_stopped(self, now: Instant) -> None:
        """Open an incident of our own if there was no evaluation for too long."""
        silent_s = self._clock.monotonic() - self._evaluated_s
        if silent_s <= self._stopped_after_s or any(one.is_open for one in self._own):
            return
        why = self._daemon_problem or "it responds, and does not evaluate"
        last = "" if self._document is None else f", the last one was at {isoformat(self._document.evaluated_at)}"
        detail = f"no evaluation for {describe(int(silent_s * SECOND_US))}{last}: {why}"
        stopped = Incident(f"{OWN}{now}", EVERY_HOST, WATCH_STOPPED, detail, _FIX, now, now, now)
        _log.error("watch stopped", detail=detail)
        await self._put_own(stopped, now)
        await self._reconcile(now)

    async def _end_stopped(self, at: Instant, now: Instant) -> None:
        for one in [one for one in self._own if one.is_open]:
            _log.info("watch goes on", stopped_for_s=(now - one.opened_at) // SECOND_US)
            await self._put_own(replace(one, ended_at=max(at, one.opened_at), resolved_at=now), now)

    async def _put_own(self, incident: Incident, now: Instant) -> None:
        others = [one for one in self._own if one.id != incident.id]
        self._own = [incident, *(one for one in others if one.is_open or now - (one.ended_at or now) < _OWN_KEPT_US)]
        await self._account.call(self._ledger.incidents.put, incident, now)

    @property
    def _stopped_after_s(self) -> float:
        return STOPPED_AFTER_TICKS * self._settings.tick_us / SECOND_US + ALLOWANCE_S

    # What runs in the background.

    async def _look_after_for_ever(self) -> NoReturn:
        """Look after the ledger, and after what becomes due as time passes."""
        while True:
            self._pulses["ledger"].beat(_LOOK_EVERY_S)
            now, moment = self._clock.now(), self._clock.monotonic()
            await self._look_whether_stopped(now)
            await self._account.call(self._ledger.mend)
            if moment - self._copied_s >= _COPY_EVERY_S:
                self._copied_s = moment
                await self._account.call(self._ledger.copy)
            if any(one.after_us for one in self._settings.destinations):
                await self._reconcile(now)
            if moment - self._given_up_s >= _GIVE_UP_EVERY_S:
                self._given_up_s = moment
                await self._give_up(now)
            if moment - self._pruned_s >= _PRUNE_EVERY_S:
                self._pruned_s = moment
                await self._account.call(self._ledger.prune, now)
            await self._report()
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s(moment)):
                    await self._news.wait()
            await asyncio.sleep(0.5)  # one report for what comes at once

    def _rest_s(self, moment: float) -> float:
        """Return for how many seconds there is nothing to look after, unless there is news."""
        is_soon = self._ledger.problem or any(one.after_us for one in self._settings.destinations)
        stops_in_s = self._evaluated_s + self._stopped_after_s - moment
        rests = [_LOOK_SOON_S if is_soon else _LOOK_EVERY_S]
        if stops_in_s > 0:
            rests.append(stops_in_s + 0.01)
        return min(rests)

    async def _give_up(self, now: Instant) -> None:
        for one in self._settings.destinations:
            count = await self._account.call(self._ledger.outbox(one.name).give_up, now - one.give_up_after_us, now)
            if count:
                _log.error(
                    "notifications dropped after waiting too long",
                    destination=one.name,
                    notifications=count,
                    waited=describe(one.give_up_after_us),
                )

    # The configuration.

    async def _reload_for_ever(self) -> NoReturn:
        while True:
            await self._reload.wait()
            self._reload.clear()
            notify(
                "RELOADING=1",
                f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}",
                "STATUS=Reloading the configuration",
            )
            try:
                settings = await self._loaded()
                self._refuse_another_place(settings)
            except ConfigError as error:
                for problem in error.problems:
                    _log.error("configuration refused, previous one kept", file=str(error.path), problem=str(problem))
                self._reload_problem = f"reload refused: {error.problems[0]}"
            else:
                self._reload_problem = ""
                await self._adopt(settings)
                await self._control.open(settings.notify_control_path)
                _log.info("configuration reloaded")
            self._said = ""
            notify("READY=1")
            await self._report()

    async def _loaded(self) -> Settings:
        try:
            return await call_at(_CONFIGURATION, self._load)
        except PathHangs as error:
            raise ConfigError("configuration", [Problem("file", "one that can be read", str(error))]) from error

    def _refuse_another_place(self, settings: Settings) -> None:
        if settings.notify_directory != self._settings.notify_directory:
            hint = "restart fleet-health-notify"
            expected = f"{self._settings.notify_directory}, until it is restarted"
            raise ConfigError(
                settings.path or "configuration",
                [Problem("notify.directory", expected, str(settings.notify_directory), hint)],
            )

    # What is shown.

    async def overview(self) -> Overview:
        """Return how everything stands."""
        standings = await self._account.call(self._ledger.standings)
        return Overview(
            at=self._clock.now(),
            evaluated_at=None if self._document is None else self._document.evaluated_at,
            problems=[
                problem
                for problem in (
                    self._daemon_problem and f"the daemon does not respond: {self._daemon_problem}",
                    self._ledger.problem and f"the ledger is kept in memory: {self._ledger.problem}",
                    self._reload_problem,
                    self._files.problem and f"the {self._files.what} cannot be written: {self._files.problem}",
                )
                if problem
            ],
            destinations=[
                Row(one.settings, standings[one.name], one.failing, one.last_success_at, dict(one.calls))
                for one in self._couriers.values()
            ],
        )

    async def history(self, host: str | None, limit: int) -> Sequence[Any]:
        """Return the recent notifications and what came of them."""
        return await self._account.call(self._ledger.history, host, limit)

    def couriers(self) -> Mapping[str, Courier]:
        """Return the couriers by the names of their destinations."""
        return self._couriers

    async def _report(self) -> None:
        """Keep the status line of `systemctl status` up to date, and the metrics."""
        line = (await self.overview()).line()
        if line != self._said:
            self._said = line
            notify(f"STATUS={line}")
        await self._files.write()

    def _metrics_directory(self) -> Path | None:
        path = self._settings.metrics.notify_textfile
        return None if path is None else path.parent

    async def _metrics(self) -> Mapping[str, bytes]:
        path = self._settings.metrics.notify_textfile
        return {} if path is None else {path.name: metrics(await self.overview())}


async def _run_after(before: asyncio.Task[None] | None, courier: Courier) -> None:
    """Run a courier once another one of the same destination has come to its end: one at a time sends."""
    if before is not None:
        await before
    await courier.run()


def _identity(settings: DestinationSettings) -> str:
    """Return what shows whether a destination that was gone may take messages again: that it is configured anew."""
    return repr((settings.type, sorted((key, str(value)) for key, value in settings.own.items())))
