"""An evaluator among parts of a test's own: alerts come as they are, and no state is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.counters import Counters
from fleet_health.records.silence_file import SilenceFile
from fleet_health.service.service_manager import Pulse
from fleet_health.service.silencing import Silencing
from fleet_health.service.ticker import Evaluator
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fleet_health.alerting.alert import Alert
    from fleet_health.engine import Engine
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.service.clock import StepWatch
    from fleet_health.service.delivery import Delivery
    from fleet_health.service.intake import Intake


class NoWitness:
    """Adds no evidence."""

    def with_evidence(self, alerts: Sequence[Alert], _: Fleet) -> Sequence[Alert]:
        """Return the alerts as they are."""
        return alerts

    def with_samples(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Return the alerts as they are."""
        return alerts


async def save_nothing(_: Fleet) -> None:
    """Return no state to save."""


def evaluator_of(
    *,
    intake: Intake,
    engine: Engine,
    delivery: Delivery,
    clock: Callable[[], Instant],
    step_watch: StepWatch,
    directory: Path,
    on_scheduled: Callable[[], None] = lambda: None,
    is_synchronized: bool = False,
) -> Evaluator:
    """Return an evaluator; in the directory there may be silences."""
    return Evaluator(
        intake=intake,
        engine=engine,
        delivery=delivery,
        pulse=Pulse("evaluator", PATIENCE_S),
        clock=clock,
        on_scheduled=on_scheduled,
        step_watch=step_watch,
        witness=NoWitness(),
        silencing=Silencing(SilenceFile(directory)),
        snapshot=save_nothing,
        is_clock_confirmed=lambda _: is_synchronized,
        counters=Counters(),
    )
