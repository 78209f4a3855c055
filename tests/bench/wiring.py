"""The parts of the service around its evaluator, put together as the daemon does it, with a fleet that we fill."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.engine import Engine
from fleet_health.model.counters import Counters
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.service import clock
from fleet_health.service.delivery import Delivery
from fleet_health.service.intake import Intake
from fleet_health.service.service_manager import Pulse
from tests.bench.data import Entries, host_names, write_journal
from tests.rig.evaluating import evaluator_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from fleet_health.config.schema import Settings
    from fleet_health.model.fleet import Fleet
    from fleet_health.service.ticker import Evaluator

_PATIENCE_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Wired:
    """An evaluator that is not started yet, and what is around it.

    Attributes:
        evaluator: The evaluator.
        delivery: Where its alerts go.
        journal: Where it sends their journal entries.
        fleet: What it evaluates; empty so far.
        alerts: The alert log.

    """

    evaluator: Evaluator
    delivery: Delivery
    journal: JournalSink
    fleet: Fleet
    alerts: Path


def site_settings(directory: Path, *, hosts: int, tick: str) -> Settings:
    """Make an empty index and a journal with one entry in a directory, and the settings to follow them."""
    index, journal = directory / "index.jsonl", directory / "journal"
    index.touch()
    write_journal(journal / "receiver.journal", Entries(host_names(1), others=0).between(1, clock.now(), clock.now()))
    return load(
        None,
        {
            "tick": ("", tick),
            "hosts.limit": ("", hosts),
            "index.path": ("", str(index)),
            "journal.directory": ("", str(journal)),
            "alerts.path": ("", str(directory / "alerts.jsonl")),
        },
    )


@asynccontextmanager
async def wired(settings: Settings, journal_socket: Path, on_scheduled: Callable[[], None]) -> AsyncIterator[Wired]:
    """Put the parts together; all but the evaluator run as long as the context lasts.

    Args:
        settings: As from `site_settings`.
        journal_socket: Where the alerts' journal entries are sent to.
        on_scheduled: Called when an evaluation is over and the next is scheduled.

    """
    tasks: list[asyncio.Task[Any]] = []

    def start(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(coroutine))
        return tasks[-1]

    pulses = {part: Pulse(part, _PATIENCE_S) for part in ("index", "journal", "evaluator", "writer")}
    intake = Intake(
        clock=clock.now, start=start, index_pulse=pulses["index"], journal_pulse=pulses["journal"], counters=Counters()
    )
    journal = JournalSink(str(journal_socket))
    delivery = Delivery(AlertLog(settings.alerts_path, is_service=True), journal, pulses["writer"], counters=Counters())
    await intake.adopt(settings, lookback_of(settings.detectors()))
    evaluator = evaluator_of(
        intake=intake,
        engine=Engine(settings.rules()),
        delivery=delivery,
        clock=clock.now,
        step_watch=clock.StepWatch(),
        directory=settings.alerts_path.parent,
        on_scheduled=on_scheduled,
    )
    start(delivery.run())
    try:
        yield Wired(evaluator, delivery, journal, intake.fleet, settings.alerts_path)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
