"""The tick: at its instant, look once more, evaluate, and hand on the alerts that are due."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import structlog
from aiofiles.os import wrap

from fleet_health.detectors.evaluation import Evaluation, evaluate, evict, reach_of, under_a_clock_behind
from fleet_health.detectors.hidden import hidden_verdicts
from fleet_health.model.clock_evidence import BEHIND_LIMIT_US, SAVED_STATE, Contradiction, contradiction
from fleet_health.model.coverage import CLOCK_SET, Gap
from fleet_health.model.history import History
from fleet_health.model.instant import SECOND_US
from fleet_health.model.schedule import next_tick_at
from fleet_health.service.clock import ClockState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fleet_health.alerting.alert import Alert
    from fleet_health.alerting.incidents import Incidents, News
    from fleet_health.detectors.spec import Detector
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.service.clock import StepWatch
    from fleet_health.service.delivery import Delivery
    from fleet_health.service.intake import Intake
    from fleet_health.service.service_manager import Pulse
    from fleet_health.service.silencing import Silencing
    from fleet_health.sources.state import SourceState

# The longest stretch slept at once, in seconds: the wall clock may be set while we sleep.
_STRIDE = 15.0
_WITNESS_TIME = 2.0
# How often the sources are read for one evaluation if the clock is set meanwhile.
_MOST_READINGS = 3

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
        on_scheduled: Callable[[], None],
        step_watch: StepWatch,
        witness: Callable[[Sequence[Alert], Fleet], Sequence[Alert]] | None = None,
        silencing: Silencing | None = None,
        snapshot: Callable[[Fleet], Awaitable[bytes | None]] | None = None,
        is_synchronized: Callable[[Instant], bool] = lambda _: False,
    ) -> None:
        self.last: Evaluation | None = None
        self.history = History()
        self.next_at: Instant | None = None
        self.unseen: tuple[str, ...] = ()
        """Symptoms that the last tick did not judge, because it did not see enough for it."""
        self._intake = intake
        self._incidents = incidents
        self._delivery = delivery
        self._pulse = pulse
        self._clock = clock
        self._detectors = detectors
        self._tick_us = tick_us
        self._on_scheduled = on_scheduled
        self._step_watch = step_watch
        self._witness = witness
        self._silencing = silencing
        self._snapshot = snapshot
        self._is_synchronized = is_synchronized
        self.clock_state = ClockState()
        self.records: dict[str, Instant | None] = {}
        """What else than the state and the sources tells up to when there are records of ours: name -> instant."""
        self.are_notices_recorded = False
        """Whether the alert log gets notices too, and not only alerts."""
        self._retuned = asyncio.Event()

    def retune(self, detectors: Sequence[Detector], tick_us: int) -> None:
        """Go on with other detectors and another tick; the next evaluation is at the next multiple of it."""
        self._detectors, self._tick_us = detectors, tick_us
        self._retuned.set()

    async def run(self) -> NoReturn:
        """Evaluate now, and at every tick, for ever."""
        while True:
            await self._evaluate()
            await self._sleep_until_tick()

    async def _evaluate(self) -> None:
        self._pulse.beat(_STRIDE)
        now, is_stepped = await self._read_sources()
        is_stepped |= await self._look_at_clock(now, is_stepped=is_stepped)
        is_behind = self.clock_state.is_behind
        seen = self._intake.seen(now)
        judging = [
            detector
            for detector in self._detectors
            # Who has been away for an hour on no clock but ours gets a tick to show up.
            if detector.can_judge(seen) and not ((is_stepped or is_behind) and detector.is_of_absence)
        ]
        self.unseen = tuple(detector.symptom for detector in self._detectors if detector not in judging)
        self._intake.fleet.coverage = tuple(state.coverage(now) for state in self.states)
        self._intake.protect(self._incidents.anchored, self._incidents.once_shipped)
        reach = reach_of(self._detectors)
        # Off the loop, because with many hosts it takes longer than a signal or the watchdog should have to wait.
        async with self._intake.held() as fleet:
            if is_behind:  # nothing is forgotten, for it is not known what is long ago
                # Up to when facts are known; a state that was saved under a clock that was ahead holds none.
                latest = max([now, *(state.newest_at for state in self._intake.states if state.newest_at is not None)])
                evaluation = await wrap(under_a_clock_behind)(fleet, judging, now, latest, tuple(self._incidents.open))
            else:
                evaluation = await wrap(_judge)(fleet, self._detectors, judging, now, tuple(self._incidents.open))
                await wrap(self.history.note)(fleet, now, now - reach.traffic_us)
        for failure in evaluation.failures:
            _log.error("detector failed", symptom=failure.symptom, exc_info=failure.error)
        news = await self._take(evaluation)
        in_trouble = {host for host, _ in self._incidents.open}
        hidden = {symptom: hosts - in_trouble for symptom, hosts in evaluation.hidden.items() if hosts - in_trouble}
        evaluation = replace(evaluation, hidden=hidden)
        self._intake.protect(self._incidents.anchored, self._incidents.once_shipped)
        alerts = await self._with_evidence(news.alerts)
        async with self._intake.held() as fleet:
            state = None if self._snapshot is None else await self._snapshot(fleet)
        if self.are_notices_recorded:
            self._delivery.deliver([*alerts, *news.notices], state=state)
        else:
            self._delivery.deliver(alerts, news.notices, state=state)
        self._intake.log_rejections()
        self.last = evaluation
        _log.log(
            logging.INFO if news.alerts or news.notices else logging.DEBUG,
            "evaluated",
            findings=len(evaluation.findings),
            new_alerts=len(news.alerts),
            ended=len(news.notices),
            not_judged=list(self.unseen),
        )

    async def _read_sources(self) -> tuple[Instant, bool]:
        """Read the sources up to the present; return the evaluation's instant, and whether the clock was set.

        If the clock is set while they are read, what was read goes up to another present than ours, so they are read
        once more. Only so often: a clock that is set all the time must not keep us from evaluating.
        """
        is_stepped = False
        now, step_us = self._step_watch.look()
        for _ in range(_MOST_READINGS):
            if abs(step_us) > BEHIND_LIMIT_US:
                is_stepped = True
                await self._reread(now, step_us)
            else:
                await self._intake.poll()
            later, step_us = self._step_watch.look()
            if abs(step_us) <= BEHIND_LIMIT_US:
                break
            now = later
        return now, is_stepped

    async def _reread(self, now: Instant, step_us: int) -> None:
        """Read everything again: what was read under another clock was recorded and forgotten by that clock."""
        _log.warning("the clock was set, or the machine slept; reading everything again", seconds=step_us / SECOND_US)
        self._pulse.rest()  # meanwhile the sources show that they are alive
        since = now - abs(step_us)
        if self.clock_state.is_behind:
            since = min(since, self.clock_state.first_at)
        await self._intake.reread(Gap(since, now, CLOCK_SET))
        self._pulse.beat(_STRIDE)

    @property
    def states(self) -> list[SourceState]:
        """How well each source sees; the clock among them while it contradicts our own records."""
        clock = self.clock_state.state
        return [*self._intake.states, *([] if clock is None else [clock])]

    async def _look_at_clock(self, now: Instant, *, is_stepped: bool) -> bool:
        """See whether the clock contradicts our own records; return whether everything was read anew for its sake.

        If a time server has confirmed it, the records are wrong: they are dated as if written now.
        """
        was_behind, first_at = self.clock_state.is_behind, self.clock_state.first_at
        found, is_redated = self._contradiction(now), False
        if found is not None and self._is_synchronized(now):
            if is_redated := (self._incidents.at or 0) - now > BEHIND_LIMIT_US:
                _log.warning("state dated ahead of a synchronized clock, dated as of now", reason=str(found))
                self._incidents.redate(now)
            self.records.clear()
            found = None
        self.clock_state.note(found, now)
        self._intake.horizon = self._incidents.at
        if found is not None:
            if not was_behind:
                _log.error("clock behind our own records, absence and ends not judged", reason=str(found))
            return False
        if not is_redated and (is_stepped or not was_behind):
            return False
        if was_behind:
            _log.info("clock no longer behind our own records, reading everything again")
        self._pulse.rest()
        await self._intake.reread(Gap(first_at if was_behind else now, now, "the clock was behind"))
        self._pulse.beat(_STRIDE)
        return True

    def _contradiction(self, now: Instant) -> Contradiction | None:
        read = {state.name: state.newest_at for state in self._intake.states}
        return contradiction({**self.records, **read, SAVED_STATE: self._incidents.at}, now)

    async def _take(self, evaluation: Evaluation) -> News:
        if self._silencing is None:
            return self._incidents.take(evaluation)
        now = evaluation.at
        await self._silencing.refresh(now)
        # Silences are matched off the loop: what somebody may ask for must not hold it up.
        pairs = {(one.host, one.symptom) for one in evaluation.findings} | self._incidents.open.keys()
        is_muted = await self._silencing.match(pairs, now)
        if not self.clock_state.is_behind:
            news = self._incidents.take(evaluation, is_muted)
            await self._silencing.look(self._incidents.open, now)
            return news
        # Also what holds by the later of the two instants: its begin is not in the future, the clock is in the past.
        is_muted_later = await self._silencing.match(pairs, self.clock_state.latest_at)
        return self._incidents.take(evaluation, lambda *pair: is_muted(*pair) or is_muted_later(*pair))

    async def _with_evidence(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Add the evidence, if it can be had: an alert must not wait for a disk, nor fail for what merely adorns it."""
        if not alerts or self._witness is None:
            return alerts
        try:
            async with self._intake.held() as fleet:
                async with asyncio.timeout(_WITNESS_TIME):
                    return await wrap(self._witness)(alerts, fleet)
        except TimeoutError:
            _log.warning("alerts are given without their evidence", reason="it takes too long to gather")
        except Exception:  # noqa: BLE001 - as with a detector, it may be any
            _log.exception("alerts are given without their evidence")
        return alerts

    async def _sleep_until_tick(self) -> None:
        self.next_at = next_tick_at(self._clock(), self._tick_us)
        self._on_scheduled()
        while (remaining_us := self.next_at - self._clock()) > 0:
            self._pulse.beat(_STRIDE)
            try:
                async with asyncio.timeout(min(remaining_us / SECOND_US, _STRIDE)):
                    await self._retuned.wait()
            except TimeoutError:
                pass
            # Asked anew, for the clock may have been set back and the tick changed; unless it has just come.
            if (now := self._clock()) < self.next_at:
                self._retuned.clear()
                self.next_at = next_tick_at(now, self._tick_us)


def _judge(
    fleet: Fleet,
    detectors: Sequence[Detector],
    judging: Sequence[Detector],
    now: Instant,
    incidents: Sequence[tuple[str, str]],
) -> Evaluation:
    gone = evict(fleet, reach_of(detectors), now)
    fleet.lost |= gone.keys()
    # Also of the detectors that cannot judge now: what they would have found is hidden as well.
    hidden = hidden_verdicts(fleet, detectors, fleet.hosts(), now)
    return replace(evaluate(fleet, judging, now, incidents), gone=gone, hidden=hidden)
