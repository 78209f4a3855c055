"""The service, put together as the daemon does it, on a clock that is set by hand and a journal that is a list.

The index and the alert log are real files. Nothing happens in it by itself: it looks, evaluates and dies when told to.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from fleet_health.alerting.lifecycle import Action
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.engine import Engine
from fleet_health.model.counters import Counters
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.service.clock import StepWatch
from fleet_health.service.delivery import Delivery
from fleet_health.service.intake import Intake
from fleet_health.service.service_manager import Pulse
from fleet_health.sources.follower import Follower
from tests.rig.evaluating import evaluator_of
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Sequence
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.unit_states import UnitMessage
    from tests.oracle.limits import Limits
    from tests.oracle.oracle import Entry


@dataclass
class Clock:
    """Both clocks of a machine, in microseconds: the one that can be set, and the one that cannot."""

    wall: int
    monotonic: int = 0


class AssembledService:
    """One service after another on the same files.

    Attributes:
        index: The index that it reads.
        alerts: Its alert log.

    """

    def __init__(self, directory: Path, entries: Sequence[Entry], clock: Clock) -> None:
        self.index = directory / "index.jsonl"
        self.index.touch()
        self.alerts = directory / "alerts.jsonl"
        self._nobody = directory / "nobody"
        self._clock = clock
        config = directory / "config.toml"
        config.write_text('index.path = "index.jsonl"\njournal.directory = "."\nalerts.path = "alerts.jsonl"\n')
        self._base = load(config)
        self._loop = asyncio.new_event_loop()
        self._is_alive = False
        self._patch = patch.multiple(
            "fleet_health.sources.journal.reading",
            JournalReader=lambda *_, **__: _ListReader(entries),
            MachineFiles=_OneMachine,
        )
        self._patch.start()

    def start(self, limits: Limits) -> None:
        """Begin a life, as far as the first look."""
        config = limits.applied_to(self._base)
        log = AlertLog(self.alerts, is_service=True)
        log.probe()
        self._delivery = Delivery(log, JournalSink(str(self._nobody)), Pulse("writer", PATIENCE_S), counters=Counters())
        self._writer = self._loop.create_task(self._delivery.run())
        self._engine = Engine(config.rules())
        for key, at in log.recent_keys(self._clock.wall):
            self._engine.incidents.note_sent(key, at)
        self._intake = Intake(
            clock=lambda: self._clock.wall,
            start=self._start_task,
            index_pulse=Pulse("index", PATIENCE_S),
            journal_pulse=Pulse("journal", PATIENCE_S),
            counters=Counters(),
        )
        self._evaluator = evaluator_of(
            intake=self._intake,
            engine=self._engine,
            delivery=self._delivery,
            clock=lambda: self._clock.wall,
            step_watch=StepWatch(lambda: self._clock.wall, lambda: self._clock.monotonic),
            directory=self._nobody.parent,
        )
        self._is_alive = True
        self._run(self._intake.adopt(config, lookback_of(config.detectors())))

    def look(self) -> None:
        """Read the sources between two ticks."""
        self._run(self._intake.poll())

    def evaluate(self) -> Evaluation:
        """Do what a tick does; the alerts may or may not be written already."""
        self._run(self._evaluator._evaluate())
        evaluation = self._engine.last
        assert evaluation is not None
        return evaluation

    @property
    def resolved(self) -> list[tuple[str, str]]:
        """The host and symptom of each incident that the latest evaluation resolved."""
        return [one.pair for one in self._engine.decisions if one.action is Action.RESOLVE]

    @property
    def is_clock_behind(self) -> bool:
        """Whether the latest evaluation took its clock to be behind."""
        return self._evaluator.clock_check.is_behind

    @property
    def known_until(self) -> int:
        """What our own records go up to, while the clock is behind them; else 0."""
        state = self._evaluator.clock_check
        return state.latest_at if state.is_behind else 0

    def write_alerts(self) -> None:
        """Let all alerts be written."""
        self._run(self._delivery.settle())

    def stop_writing(self) -> None:
        """From now on write no alert in this life."""
        self._writer.cancel()

    def reload(self, limits: Limits) -> None:
        """Go on with other limits."""
        config = limits.applied_to(self._base)
        self._run(self._intake.adopt(config, lookback_of(config.detectors())))
        self._engine.adopt(config.rules())
        self._evaluator.switch(are_notices_recorded=False)

    def die(self) -> None:
        """End this life without a word."""

        async def die() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for source in self._intake._sources:
                await source.follower.close()

        self._is_alive = False
        self._run(die())
        self._delivery._journal.close()
        self._delivery.log.close()

    def close(self) -> None:
        """Die if it lives, and leave nothing behind but the files."""
        if self._is_alive:
            self.die()
        self._patch.stop()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        async def in_time() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await coroutine

        self._loop.run_until_complete(in_time())

    def _start_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        if coroutine.cr_code is Follower.follow.__code__:  # type: ignore[attr-defined]
            # When the follower looks by itself is not for it to say.
            coroutine.close()
            return self._loop.create_task(asyncio.Event().wait())
        return self._loop.create_task(coroutine)


class _OneMachine:
    """Finds one machine, as `MachineFiles` does for its own journal."""

    left_out: Sequence[Any] = ()

    def __init__(self, settings: JournalSettings) -> None:
        del settings

    def look(self) -> dict[str, None]:
        """Find its files."""
        return {"": None}


class _ListReader:
    """Reads a list of entries as `JournalReader` does a journal."""

    fd = 0
    units = active = frozenset[str]()
    left_out: Sequence[Any] = ()

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._place = 0
        self._older: set[int] | None = None

    def seek(self, since: int) -> None:
        """Begin with what is dated so or later; all that comes afterwards is read whatever its date."""
        if self._older is None:
            self._older = {number for number, entry in enumerate(self._entries) if entry.at < since}

    def seek_cursor(self, cursor: str) -> None:
        """Go to a place."""
        self._place = int(cursor)

    def oldest_at(self) -> int:
        """Reach back to the begin of time."""
        return 0

    def has_lines(self) -> bool:
        """Return True: every reader here has lines."""
        return True

    def find_instances(self, since: int) -> None:
        """Find none: there is one unit."""

    def add_units(self, units: Iterable[str]) -> None:
        """Add none."""

    def unit_messages(self, place: int | str) -> tuple[list[UnitMessage], str | None]:
        """Know nothing of the unit."""
        del place
        return [], None

    def latest_unit_messages(self, until: int) -> list[UnitMessage]:
        """Know nothing of the unit."""
        del until
        return []

    def read(self) -> Iterator[tuple[bytes | None, int]]:
        """Read on to the present end."""
        while self._place < len(self._entries):
            self._place += 1
            if self._place - 1 not in (self._older or ()):
                entry = self._entries[self._place - 1]
                yield entry.message, entry.at

    def cursor(self) -> str:
        """Name the place."""
        return str(self._place)

    def process(self) -> None:
        """Do nothing."""

    def is_outdated(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Do nothing."""
