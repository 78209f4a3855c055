"""The process: it follows the daemon, keeps the ledger, and has one courier for each destination.

The incidents come from the daemon, and what was sent from the ledger. The process remembers nothing else, so it can be
killed at any instant. The configuration is reloaded as a whole or not at all.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.api.published_files import PublishedFiles
from fleet_health.api.server import ControlSocket
from fleet_health.errors import ConfigError, PathHangs, Problem
from fleet_health.files.hanging_calls import call_at
from fleet_health.notify.control import Control
from fleet_health.notify.couriers.couriers import Couriers
from fleet_health.notify.following import Following
from fleet_health.notify.ledger.ledger import Ledger
from fleet_health.notify.metrics import metrics
from fleet_health.notify.overview import Overview, Row
from fleet_health.notify.retry import SystemClock
from fleet_health.notify.upkeep import Upkeep
from fleet_health.notify.worker import Worker
from fleet_health.service.service_manager import Pulse, feed_watchdog, notify, watchdog_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet_health.config.schema import Settings
    from fleet_health.notify.couriers.courier import Courier
    from fleet_health.notify.destination import Build
    from fleet_health.notify.ledger.standing import Record
    from fleet_health.notify.retry import Clock

_LOOK_EVERY_S = 30.0
_LOOK_SOON_S = 5.0
_CLOSE_TIME_S = 1.0
_PATIENCE_S = 60.0

_CONFIGURATION = Path("configuration of notify")
"""The name under which `call_at` runs the calls that read the configuration, one at a time."""

_log = structlog.get_logger("fleet_health.notify")


class _Stopped(Exception):  # noqa: N818 - it is not an error: it ends the task group
    """The process was asked to stop."""


class Notifier:
    """The process, from its start to its end."""

    def __init__(self, load: Callable[[], Settings], build: Build, clock: Clock | None = None) -> None:
        """Take how the configuration is loaded, how a destination is made, and the clocks.

        Raises:
            ConfigError: The configuration cannot be used.

        """
        self._load = load
        self._clock = clock or SystemClock()
        self._settings = load()
        self._stop, self._reload, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._ledger, ledger_thread = Ledger(self._settings.notify_directory), Worker("ledger")
        self._ledger_thread = ledger_thread
        self._couriers = Couriers(self._ledger, ledger_thread, build, self._clock, self._news.set)
        self._following = Following(
            self._settings,
            self._ledger,
            ledger_thread,
            self._clock,
            on_incidents=self._reconcile,
            on_problem=self._news.set,
        )
        self._upkeep = Upkeep(self._ledger, ledger_thread, self._clock)
        self._parts = asyncio.TaskGroup()
        self._reload_problem = ""
        self._status = ""
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
        await self._ledger_thread.call(self._ledger.open)
        await self._serve()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIME_S):
                await self._ledger_thread.call(self._ledger.close)

    def stop(self) -> None:
        """Stop the process; `run` returns soon."""
        self._stop.set()

    async def _serve(self) -> None:
        """Run the parts until the process is to stop."""
        await self._following.restore()
        try:
            async with self._parts:
                await self._adopt(self._settings)
                await self._control.open(self._settings.notify_control_path)
                notify("READY=1")
                _log.info("notify ready", destinations=sorted(self._couriers.by_name))
                await self._report()
                start = self._parts.create_task
                start(self._following.run(self._pulses["watch"]))
                start(self._look_after_for_ever())
                start(self._reload_for_ever())
                if self._watchdog is not None:
                    start(feed_watchdog(self._watchdog, self._pulses.values()))
                await self._stop.wait()
                notify("STOPPING=1", "STATUS=Stopping: waiting for responses")
                _log.info("notify stopping")
                await asyncio.gather(self._couriers.end(), self._control.close())
                raise _Stopped  # noqa: TRY301 - cancels the parts
        except* _Stopped:
            pass

    async def _adopt(self, settings: Settings) -> None:
        """Adopt another configuration."""
        self._settings = settings
        self._following.adopt(settings)
        await self._couriers.adopt(settings.destinations, self._parts)
        await self._reconcile()

    async def _reconcile(self) -> None:
        """Queue for each destination what it is to be sent, and report that something may have changed."""
        await self._couriers.reconcile(self._following.incidents, self._following.evaluated(), self._clock.now())
        self._news.set()

    async def _look_after_for_ever(self) -> NoReturn:
        """Look after the ledger, and do what becomes due as time passes."""
        while True:
            self._pulses["ledger"].beat(_LOOK_EVERY_S)
            await self._following.look_whether_stopped()
            await self._upkeep.look(self._settings.destinations)
            if self._has_escalations:
                await self._reconcile()
            await self._report()
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s):
                    await self._news.wait()
            await asyncio.sleep(0.5)  # one report for what comes at once

    @property
    def _has_escalations(self) -> bool:
        return any(one.after_us for one in self._settings.destinations)

    @property
    def _rest_s(self) -> float:
        """For how many seconds there is nothing to look after, unless there is news."""
        rest_s = _LOOK_SOON_S if self._ledger.problem or self._has_escalations else _LOOK_EVERY_S
        stops_in_s = self._following.stops_in_s
        return min(rest_s, stops_in_s + 0.01) if stops_in_s > 0 else rest_s

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
            self._status = ""
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
        """Return the state of the process and of each destination."""
        standings = await self._ledger_thread.call(self._ledger.standings)
        following = self._following
        return Overview(
            at=self._clock.now(),
            evaluated_at=None if following.document is None else following.document.evaluated_at,
            problems=[
                problem
                for problem in (
                    following.problem and f"the daemon does not respond: {following.problem}",
                    self._ledger.problem and f"the ledger is kept in memory: {self._ledger.problem}",
                    self._reload_problem,
                    self._files.problem and f"the {self._files.what} cannot be written: {self._files.problem}",
                )
                if problem
            ],
            destinations=[
                Row(one.settings, standings[one.name], one.failing, one.last_success_at, dict(one.calls))
                for one in self._couriers.by_name.values()
            ],
        )

    async def history(self, host: str | None, limit: int) -> Sequence[Record]:
        """Return the recent notifications, the latest first; only those about a host unless it is None."""
        return await self._ledger_thread.call(self._ledger.history, host, limit)

    def couriers(self) -> Mapping[str, Courier]:
        """Return the couriers by the names of their destinations."""
        return self._couriers.by_name

    async def _report(self) -> None:
        """Keep the status line of `systemctl status` up to date, and the metrics."""
        line = (await self.overview()).line()
        if line != self._status:
            self._status = line
            notify(f"STATUS={line}")
        await self._files.write()

    def _metrics_directory(self) -> Path | None:
        path = self._settings.metrics.notify_textfile
        return None if path is None else path.parent

    async def _metrics(self) -> Mapping[str, bytes]:
        path = self._settings.metrics.notify_textfile
        return {} if path is None else {path.name: metrics(await self.overview())}
