"""The tick: at its instant, look once more, evaluate, and hand on the alerts that are due."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.domain.evaluation import Evaluation, evaluate, evict, reach_of
from fleet_health.domain.schedule import next_tick_at
from fleet_health.service.clock import STRIDE, sleep_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.domain.detectors.contract import Detector
    from fleet_health.domain.incidents import Incidents
    from fleet_health.domain.instant import Instant
    from fleet_health.service.delivery import Delivery
    from fleet_health.service.intake import Intake
    from fleet_health.service.notify import Pulse

_log = structlog.get_logger("fleet_health.service")


class Evaluator:
    """Evaluates at every tick."""

    def __init__(
        self,
        *,
        intake: Intake,
        incidents: Incidents,
        delivery: Delivery,
        pulse: Pulse,
        clock: Callable[[], Instant],
        detectors: Sequence[Detector],
        tick_us: int,
    ) -> None:
        self.last: Evaluation | None = None
        self.next_at: Instant | None = None
        self.unseen: tuple[str, ...] = ()
        """Symptoms that the last tick did not judge, because their source cannot be seen."""
        self._intake = intake
        self._incidents = incidents
        self._delivery = delivery
        self._pulse = pulse
        self._clock = clock
        self._detectors = detectors
        self._tick_us = tick_us
        self._retuned = asyncio.Event()

    def retune(self, detectors: Sequence[Detector], tick_us: int) -> None:
        """Go on with other detectors and another tick."""
        self._detectors, self._tick_us = detectors, tick_us
        self._retuned.set()

    async def run(self) -> NoReturn:
        """Evaluate now, and at every tick, for ever."""
        while True:
            await self._evaluate()
            await self._sleep_until_tick()

    async def _evaluate(self) -> None:
        self._pulse.beat(STRIDE)
        now = self._clock()
        await self._intake.poll()
        seen = [detector for detector in self._detectors if self._intake.is_seen(detector.reach)]
        self.unseen = tuple(detector.symptom for detector in self._detectors if detector not in seen)
        evict(self._intake.fleet, reach_of(self._detectors), now)
        evaluation = evaluate(self._intake.fleet, seen, now)
        for failure in evaluation.failures:
            _log.error("detector failed", symptom=failure.symptom, exc_info=failure.error)
        alerts = self._incidents.alerts(evaluation)
        self._delivery.deliver(alerts)
        self.last = evaluation
        _log.log(
            logging.INFO if alerts else logging.DEBUG,
            "evaluated",
            findings=len(evaluation.findings),
            new_alerts=len(alerts),
            not_judged=list(self.unseen) or None,
        )

    async def _sleep_until_tick(self) -> None:
        while True:
            self._retuned.clear()
            self.next_at = next_tick_at(self._clock(), self._tick_us)
            sleep = asyncio.ensure_future(sleep_until(self.next_at, self._clock, lambda: self._pulse.beat(STRIDE)))
            retuned = asyncio.ensure_future(self._retuned.wait())
            try:
                await asyncio.wait({sleep, retuned}, return_when=asyncio.FIRST_COMPLETED)
                if sleep.done():
                    return
            finally:
                sleep.cancel()
                retuned.cancel()
