"""The reload. Every step that can fail comes first; then all parts switch to the new settings in one step."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.detectors.evaluation import lookback_of
from fleet_health.errors import ConfigError, PathHangs, Problem, SinkUnavailable
from fleet_health.files.hanging_calls import call_at
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.silence_file import SilenceFile
from fleet_health.records.state_file import StateFile
from fleet_health.service import clock
from fleet_health.service.restoring import PastAlerts, past_alerts_or_none
from fleet_health.service.saved_state import SavedState
from fleet_health.service.service_manager import notify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fleet_health.alerting.rules import Rules
    from fleet_health.config.schema import Settings
    from fleet_health.service.parts import Parts
    from fleet_health.service.receiver_sources import PreparedSources
    from fleet_health.service.saving import Saving

_log = structlog.get_logger("fleet_health.service")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The new values to which a reload switches in one step.

    Attributes:
        settings: The settings.
        rules: The rules of these settings.
        log: The alert log; the present one if its path has not changed.
        past: The past alerts in a new alert log; empty if it is the present one.
        sources: The sources. New ones have been read to their end.

    """

    settings: Settings
    rules: Rules
    log: AlertLog
    past: PastAlerts
    sources: PreparedSources


class Reloading:
    """Reloads the configuration when it is requested.

    Attributes:
        problem: The reason why the latest reload was refused; empty if it was not refused.

    """

    def __init__(
        self, parts: Parts, saving: Saving, *, on_switched: Callable[[], Awaitable[None]], on_over: Callable[[], None]
    ) -> None:
        """Prepare to reload.

        Args:
            parts: The parts that switch to the new settings.
            saving: Decides when the state is saved.
            on_switched: Called after each switch, for parts that are not among `parts`.
            on_over: Called after each reload, whether or not the configuration was refused.

        """
        self.problem = ""
        self._parts = parts
        self._saving = saving
        self._on_switched = on_switched
        self._on_over = on_over
        self._requested = asyncio.Event()

    def request(self) -> None:
        """Request a reload. A request during a reload causes one more reload."""
        self._requested.set()

    async def run(self) -> NoReturn:
        """Reload at each request, forever."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            notify(
                "RELOADING=1",
                f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}",
                "STATUS=Reloading the configuration",
            )
            try:
                await self._reload()
            except ConfigError as error:
                for problem in error.problems:
                    _log.error("configuration refused, previous one kept", file=str(error.path), problem=str(problem))
                more = f" and {len(error.problems) - 1} more" if len(error.problems) > 1 else ""
                self._parts.counters.reloads["refused"] += 1
                self.problem = f"reload refused: {error.problems[0]}{more}"
            else:
                _log.info("configuration reloaded")
            self._on_over()

    async def _reload(self) -> None:
        """Reload once.

        Raises:
            ConfigError: The configuration cannot be used. Nothing has changed.

        """
        async with self._prepared(await self._parts.configuration.loaded()) as prepared:
            close_old = self._switch(prepared)
        self.problem = ""
        self._parts.counters.reloads["taken"] += 1
        await close_old()
        await self._on_switched()

    @asynccontextmanager
    async def _prepared(self, settings: Settings) -> AsyncIterator[_Prepared]:
        """Do all steps of a reload that can fail or take time. Call `_switch` within the context.

        Raises:
            ConfigError: The alert log cannot be used. Nothing has changed.

        """
        parts = self._parts
        log, past = await self._log_at(settings), PastAlerts()
        if log is not parts.delivery.log:
            try:
                await call_at(log.path, log.probe)
                past = await call_at(log.path, past_alerts_or_none, log, clock.now(), parts.engine.incidents.at)
            except SinkUnavailable as error:
                problem = Problem("alerts.path", "a file that can be written", str(error))
                raise ConfigError("configuration", [problem]) from error
        rules = settings.rules()
        async with parts.intake.prepared(settings, lookback_of(rules.detectors)) as sources:
            yield _Prepared(settings, rules, log, past, sources)

    async def _log_at(self, settings: Settings) -> AlertLog:
        """Return the alert log for some settings; the present one if their path leads to the same file."""
        path, present = settings.alerts_path, self._parts.delivery.log
        other = AlertLog(path, is_service=True, rotated=settings.alerts_rotated)
        if path == present.path:
            return present
        try:
            is_same = await call_at(path, other.place) == await call_at(present.path, present.place)
        except SinkUnavailable:
            is_same = False
        return present if is_same else other

    def _switch(self, new: _Prepared) -> Callable[[], Awaitable[None]]:
        """Switch to the new settings. This is the point of no return: nothing here waits, reads, writes or fails.

        Return a function that closes the sources and the alert log that are no longer used.
        """
        parts, settings, old_log = self._parts, new.settings, self._parts.delivery.log
        parts.configuration.settings = settings
        self._saving.expire()
        new.log.rotated = settings.alerts_rotated
        new.past.restore_to(parts.engine.incidents)
        parts.engine.adopt(new.rules)
        parts.delivery.switch(new.log, StateFile(settings.state_directory, SavedState))
        parts.silencing.switch(SilenceFile(settings.state_directory), settings.mute_windows)
        close_sources = parts.intake.switch(new.sources)
        parts.evaluator.switch(are_notices_recorded=settings.are_notices_recorded)

        async def close_old() -> None:
            await close_sources()
            if old_log is not new.log:
                with suppress(PathHangs):  # the lock is released when the process exits
                    await call_at(old_log.path, old_log.close)

        return close_old
