"""The parts of the running service that other parts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_health.engine import Engine
    from fleet_health.model.counters import Counters
    from fleet_health.service.configuration import Configuration
    from fleet_health.service.delivery import Delivery
    from fleet_health.service.intake import Intake
    from fleet_health.service.silencing import Silencing
    from fleet_health.service.ticker import Evaluator


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that live as long as the process. A reload switches all but the counters to the new settings."""

    configuration: Configuration
    counters: Counters
    delivery: Delivery
    engine: Engine
    evaluator: Evaluator
    intake: Intake
    silencing: Silencing
