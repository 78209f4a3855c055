"""The tick: read the sources up to the present, evaluate, and deliver the notifications."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, Protocol

import structlog
from aiofiles.os import wrap

from fleet_health.alerting.alert import RESOLVED
from fleet_health.alerting.lifecycle import Action, Reason
from fleet_health.alerting.misfits import ENOUGH, misfits
from fleet_health.detectors import silent
from fleet_health.engine import Circumstances
from fleet_health.errors import PathHangs
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.clock_evidence import BEHIND_LIMIT_US
from fleet_health.model.coverage import CLOCK_SET, Gap
from fleet_health.model.history import History
from fleet_health.model.instant import SECOND_US
from fleet_health.model.schedule import next_tick_at
from fleet_health.service.clock import booted_at, monotonic_us
from fleet_health.service.clock_check import ClockCheck
from fleet_health.service.witness import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fleet_health.alerting.alert import Alert
    from fleet_health.alerting.incidents import Outcome
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.engine import Engine
    from fleet_health.model.counters import Counters
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.history import HistorySnapshot
    from fleet_health.model.instant import Instant
    from fleet_health.service.clock import StepWatch
    from fleet_health.service.delivery import Delivery
    from fleet_health.service.intake import Intake
    from fleet_health.service.service_manager import Pulse
    from fleet_health.service.silencing import Silencing
    from fleet_health.sources.state import SourceState

# The longest sleep in seconds, because the wall clock may be set meanwhile.
_STRIDE = 15.0
_WITNESS_TIME = 2.0
# How often the sources are read for one evaluation, if the clock is set while they are read.
_MOST_READINGS = 3

_log = structlog.get_logger("fleet_health.service")


class Witness(Protocol):
    """Adds evidence to the alerts of one evaluation."""

    def with_evidence(self, alerts: Sequence[Alert], fleet: Fleet) -> Sequence[Alert]:
        """Return the alerts with figures about their hosts."""

    def with_samples(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Return the alerts with journal lines that show refusals of their hosts. This may take long."""


class Evaluator:
    """Evaluates at every tick."""

    def __init__(
        self,
        *,
        intake: Intake,
        engine: Engine,
        delivery: Delivery,
        pulse: Pulse,
        clock: Callable[[], Instant],
        on_scheduled: Callable[[], None],
        step_watch: StepWatch,
        witness: Witness,
        silencing: Silencing,
        snapshot: Callable[[Fleet], Awaitable[bytes | None]],
        is_clock_confirmed: Callable[[Instant], bool],
        counters: Counters,
        booted_at: Callable[[Instant], Instant] = booted_at,
    ) -> None:
        """Prepare to evaluate.

        Args:
            intake: Reads the sources.
            engine: Evaluates the fleet, and holds the incidents.
            delivery: Delivers the notifications.
            pulse: Beats when the evaluator makes progress.
            clock: Returns the present.
            on_scheduled: Called after each evaluation, once the next one is scheduled.
            step_watch: Detects that the clock was set.
            witness: Adds evidence to alerts.
            silencing: Returns the suppressions by operators.
            snapshot: Returns the state to save, encoded; None if it need not be saved.
            is_clock_confirmed: Returns whether a time server or root has confirmed the clock.
            counters: The counters of the service.
            booted_at: Returns when this machine booted, given the present.

        """
        self.history = History()
        """The history of the hosts."""
        self.next_at: Instant | None = None
        """When the next evaluation is due; None before the first."""
        self._intake = intake
        self._engine = engine
        self._incidents = engine.incidents
        self._delivery = delivery
        self._pulse = pulse
        self._clock = clock
        self._on_scheduled = on_scheduled
        self._step_watch = step_watch
        self._witness = witness
        self._silencing = silencing
        self._snapshot = snapshot
        self._counters = counters
        self._booted_at = booted_at
        self.clock_check = ClockCheck(is_clock_confirmed)
        self.deciding = asyncio.Lock()
        """Held from a decision until its notifications are queued: meanwhile the incidents are newer than the state."""
        self._are_notices_recorded = False
        self._retuned = asyncio.Event()
        """Set if the rules have changed since the latest evaluation began."""

    def restore(self, history: HistorySnapshot, *, disproved_until: Instant, alert_log_at: Instant | None) -> None:
        """Restore the history of the hosts and the records about the clock; see `ClockCheck.restore`."""
        self.history = History(history)
        self.clock_check.restore(disproved_until=disproved_until, alert_log_at=alert_log_at)

    def switch(self, *, are_notices_recorded: bool) -> None:
        """Evaluate by the rules in force now, at once and then at each multiple of their tick.

        Args:
            are_notices_recorded: Whether notices are written to the alert log as well.

        """
        self._are_notices_recorded = are_notices_recorded
        self._retuned.set()

    async def run(self) -> NoReturn:
        """Evaluate now and at every tick, forever."""
        self._intake.note_boot(self._booted_at(self._clock()), self._incidents.at)
        while True:
            await self._evaluate()
            await self._sleep_until_tick()

    async def _evaluate(self) -> None:
        self._retuned.clear()
        self._pulse.beat(_STRIDE)
        started_at = monotonic_us()
        now, is_stepped = await self._read_sources()
        self._pulse.beat(_STRIDE)
        is_stepped |= await self._check_clock(now, is_stepped=is_stepped)
        if not is_stepped and not self.clock_check.is_behind:
            self._intake.confirm_clock()
        self._intake.note_unmatched(now)
        self._intake.fleet.coverage = tuple(state.coverage(now) for state in self.states)
        self._intake.protect(self._incidents.anchored, self._incidents.once_uploaded)
        latest_at = None
        if self.clock_check.is_behind:
            # The latest known fact. Facts from a state that was saved while the clock was ahead do not count.
            latest_at = max([now, *(state.newest_at for state in self._intake.states if state.newest_at is not None)])
        circumstances = Circumstances(self._intake.seen(now), is_stepped, latest_at)
        # In a thread, because with many hosts it takes longer than signals and the watchdog should wait.
        async with self._intake.paused() as fleet:
            evaluation = await wrap(self._engine.evaluate)(fleet, now, circumstances)
            if latest_at is None:
                await wrap(self.history.note)(fleet, now, now - self._engine.lookback.traffic_us)
        for failure in evaluation.failures:
            _log.error("detector failed", symptom=failure.symptom, exc_info=failure.error)
        async with self.deciding:
            outcome = await self._decide(evaluation)
            self._intake.protect(self._incidents.anchored, self._incidents.once_uploaded)
            alerts = await self._with_evidence(outcome.alerts)
            self._delivery.publication.note(outcome.notices, now)
            async with self._intake.paused() as fleet:
                state = await self._snapshot(fleet)
            if self._are_notices_recorded:
                self._delivery.deliver([*alerts, *outcome.notices], state=state)
            else:
                self._delivery.deliver(alerts, outcome.notices, state=state)
        self._report_misfits(outcome)
        self._intake.log_rejections()
        self._log_dropped(outcome)
        self._count(outcome, monotonic_us() - started_at)
        _log.log(
            logging.INFO if outcome.alerts or outcome.notices else logging.DEBUG,
            "evaluated",
            findings=len(evaluation.findings),
            new_alerts=len(outcome.alerts),
            ended=len(outcome.notices),
            not_evaluated=list(evaluation.not_evaluated),
        )

    def _log_dropped(self, outcome: Outcome) -> None:
        """Log notified incidents that were dropped because the new configuration does not look for them."""
        scope = self._engine.rules.scope
        for decision in outcome.decisions:
            is_over = decision.reason is not Reason.FORGOTTEN or decision.incident.last_notified_at is None
            if not is_over and not scope.includes(*decision.pair):
                _log.warning("incident dropped", host=decision.incident.host, symptom=decision.incident.symptom)

    def _report_misfits(self, outcome: Outcome) -> None:
        """Log, once for each, the hosts that recovered by themselves so often that their limits may not fit."""
        back = {one.host for one in outcome.notices if (one.status, one.symptom) == (RESOLVED, silent.SYMPTOM)}
        if not back:
            return
        counts = misfits(self._incidents.ended.all, self._engine.rules.policy.is_fixed)
        for host in sorted(back):
            if counts.get(host) == ENOUGH:
                _log.warning("limit does not fit rhythm of host", host=host, count=ENOUGH)

    def _count(self, outcome: Outcome, duration_us: int) -> None:
        counters = self._counters
        counters.note_evaluation(duration_us)
        for decision in outcome.decisions:
            if decision.action is not Action.NONE:
                counters.notifications[decision.incident.symptom, decision.action] += 1

    async def _read_sources(self) -> tuple[Instant, bool]:
        """Read the sources up to the present. Return the instant of the evaluation, and whether the clock was set.

        If the clock is set while they are read, they are read again, up to the new present. This is repeated only a few
        times, because a clock that is set all the time must not prevent the evaluation.
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
        """Read all sources again, because facts may have been dated wrongly or forgotten by the previous clock."""
        _log.warning("clock set or machine suspended, sources re-read", seconds=step_us / SECOND_US)
        self._pulse.rest()  # the pulses of the sources beat meanwhile
        since, skipped_since = now - abs(step_us), max(now - step_us, self._incidents.at or 0)
        if self.clock_check.is_behind:
            since = min(since, self.clock_check.first_at)
            skipped_since = max(skipped_since, self.clock_check.latest_at)
        slept_since = now - self._step_watch.slept_us
        await self._intake.reread(Gap(since, now, CLOCK_SET))
        # The time before our latest record was not skipped.
        if now - slept_since > BEHIND_LIMIT_US:
            self._intake.fleet.shut_down(max(slept_since, self._incidents.at or 0), now)
        else:
            self._intake.fleet.skip(min(skipped_since, now), now)
        self._intake.note_boot(self._booted_at(now), self._incidents.at)
        self._pulse.beat(_STRIDE)

    @property
    def states(self) -> list[SourceState]:
        """The state of each source, and of the clock if it has a problem."""
        clock = self.clock_check.state
        return [*self._intake.states, *([] if clock is None else [clock])]

    async def _check_clock(self, now: Instant, *, is_stepped: bool) -> bool:
        """Check the clock against our own records. Return whether the sources were read again because of it.

        Records ahead of a clock that is right are redated to now.
        """
        clock = self.clock_check
        was_behind, first_at = clock.is_behind, clock.first_at
        newest = {state.name: state.newest_at for state in self._intake.states}
        is_redated = clock.check(now, self._incidents.at, newest, is_set=is_stepped)
        self._intake.distrust(after=now if is_redated else self._incidents.at, until=clock.disproved_until)
        if clock.is_behind or (not is_redated and (is_stepped or not was_behind)):
            return False
        if was_behind:
            _log.info("clock no longer behind saved records, sources re-read")
        self._pulse.rest()
        gap = Gap(first_at if was_behind else now, now, "the clock was behind")
        await self._intake.reread(gap)
        self._pulse.beat(_STRIDE)
        if is_redated:
            # Rows dated ahead count as of this read, so no incident may be later than it.
            self._incidents.redate(self._clock())
        return True

    async def _decide(self, evaluation: Evaluation) -> Outcome:
        now = evaluation.at
        await self._silencing.refresh(now)
        # Silences are matched in a thread, because the glob of an operator must not block the loop.
        pairs = {(one.host, one.symptom) for one in evaluation.findings} | self._incidents.open.keys()
        suppressions = await self._silencing.match(pairs, now)
        if not self.clock_check.is_behind:
            outcome = self._take(evaluation, suppressions)
            await self._silencing.look({pair: one.opened_at for pair, one in self._incidents.open.items()}, now)
            return outcome
        # The clock is behind, so silences that are active at the later instant count too.
        later = await self._silencing.match(pairs, self.clock_check.latest_at)
        return self._take(evaluation, lambda *incident: suppressions(*incident) or later(*incident))

    def _take(self, evaluation: Evaluation, suppressions: Suppressions) -> Outcome:
        """Decide and set the next tick in one step, because clients see both."""
        outcome = self._engine.decide(evaluation, suppressions)
        self.next_at = next_tick_at(evaluation.at, self._engine.rules.policy.tick_us)
        return outcome

    async def _with_evidence(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Add evidence as far as possible. Problems with evidence must neither delay nor prevent an alert."""
        if not alerts:
            return alerts
        try:
            async with self._intake.paused() as fleet:
                alerts = await wrap(self._witness.with_evidence)(alerts, fleet)
        except Exception:  # noqa: BLE001 - as with a detector, it may be any
            _log.exception("alerts sent without evidence")
            return alerts
        try:
            # This does not use the fleet, so it may go on after the timeout.
            async with asyncio.timeout(_WITNESS_TIME):
                return await call_at(SAMPLES, self._witness.with_samples, alerts)
        except (TimeoutError, PathHangs):
            _log.warning("alerts sent without sample lines", reason="reading them takes too long")
        except Exception:  # noqa: BLE001 - likewise
            _log.exception("alerts sent without sample lines")
        return alerts

    async def _sleep_until_tick(self) -> None:
        self.next_at = next_tick_at(self._clock(), self._engine.rules.policy.tick_us)
        self._on_scheduled()
        while not self._retuned.is_set() and (remaining_us := self.next_at - self._clock()) > 0:
            self._pulse.beat(_STRIDE)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(remaining_us / SECOND_US, _STRIDE)):
                    await self._retuned.wait()
            # The clock may have been set back, so compute the tick again, unless it is due.
            if (now := self._clock()) < self.next_at:
                self.next_at = next_tick_at(now, self._engine.rules.policy.tick_us)
