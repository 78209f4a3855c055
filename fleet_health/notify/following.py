"""Follows the daemon: which incidents there are after each evaluation, and whether it still evaluates.

No evaluation for three ticks is an incident as well, `watch-stopped`, the only one that the daemon cannot report.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.config.destinations.shared import WATCH_STOPPED
from fleet_health.model.instant import HOUR_US, SECOND_US, describe, isoformat
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.words import plural
from fleet_health.notify.couriers.evaluated import Evaluated
from fleet_health.notify.documents import Incident
from fleet_health.notify.ledger.known_incidents import OWN
from fleet_health.notify.watch import WAIT_S, DaemonSilentError, DaemonWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fleet_health.config.schema import Settings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.documents import Document
    from fleet_health.notify.ledger.ledger import Ledger
    from fleet_health.notify.retry import Clock
    from fleet_health.notify.worker import Worker
    from fleet_health.service.service_manager import Pulse

STOPPED_AFTER_TICKS = 3
"""After how many ticks without an evaluation the watch counts as stopped."""
ALLOWANCE_S = 5.0
"""How many seconds more: for so long a source that hangs delays an evaluation."""

_ASK_AGAIN_S = (0.2, 0.5, 1.0, 2.0, 3.0)
_OWN_KEPT_US = 7 * 24 * HOUR_US
_FIX = (
    "On the machine of fleet-health: look at `systemctl status fleet-health` and `journalctl -u fleet-health`, and"
    " start it. Until then nobody is notified of anything else."
)

_log = structlog.get_logger("fleet_health.notify")


class Following:
    """The incidents after the latest evaluation of the daemon, and `watch-stopped`."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        ledger_thread: Worker,
        clock: Clock,
        *,
        on_incidents: Callable[[], Awaitable[None]],
        on_problem: Callable[[], object],
    ) -> None:
        """Take what it needs.

        Args:
            settings: Where the daemon is, and how often it evaluates.
            ledger: The ledger.
            ledger_thread: The thread of the ledger.
            clock: The clocks.
            on_incidents: Awaited when the incidents may have changed.
            on_problem: Called when the daemon does not respond.

        """
        self.document: Document | None = None
        """What the daemon listed last; None before that."""
        self.problem = ""
        """Why the daemon cannot be asked; empty if it responds."""
        self._ledger, self._ledger_thread, self._clock = ledger, ledger_thread, clock
        self._on_incidents, self._on_problem = on_incidents, on_problem
        self._listed: Sequence[Incident] = ()
        self._own: Sequence[Incident] = ()
        self._evaluated_s = clock.monotonic()
        self._watch = DaemonWatch(settings.control_path)
        self._tick_us = settings.tick_us

    def adopt(self, settings: Settings) -> None:
        """Adopt another configuration."""
        self._tick_us = settings.tick_us
        if self._watch.path != settings.control_path:
            self._watch = DaemonWatch(settings.control_path)

    async def restore(self) -> None:
        """Take the incidents from the ledger, until the daemon is asked."""
        self._own = await self._ledger_thread.call(self._ledger.incidents.own, WATCH_STOPPED)
        known = await self._ledger_thread.call(self._ledger.incidents.still_open)
        self._listed = [one for one in known if one.symptom != WATCH_STOPPED]

    @property
    def incidents(self) -> Sequence[Incident]:
        """The open incidents, and those that ended recently."""
        return (*self._listed, *self._own)

    def evaluated(self) -> Evaluated | None:
        """Return the latest evaluation for the couriers; None if neither an evaluation nor an incident is known."""
        document, standing = self.document, tuple(one for one in self.incidents if one.is_standing)
        count = plural(len(standing), "incident")
        if document is None:
            return Evaluated(None, True, count, standing, self._tick_us) if standing else None  # noqa: FBT003 - a field
        problems = [*document.problems, *filter(None, [document.blind])]
        summary = f"evaluated at {isoformat(document.evaluated_at)}: {'; '.join(problems) or count}"
        return Evaluated(document.evaluated_at, not problems, summary, standing, self._tick_us)

    async def run(self, pulse: Pulse) -> NoReturn:
        """Ask the daemon again and again, and beat the pulse each time."""
        failures = 0
        while True:
            pulse.beat(WAIT_S + 60)
            try:
                document = await self._watch.next_document()
            except DaemonSilentError as error:
                if not self.problem:
                    _log.warning("daemon does not respond", reason=str(error))
                self.problem = str(error)
                self._on_problem()
                await asyncio.sleep(_ASK_AGAIN_S[min(failures, len(_ASK_AGAIN_S) - 1)])
                failures += 1
                continue
            failures = 0
            if self.problem:
                _log.info("daemon responds again")
                self.problem = ""
            if document is not None:
                await self._take(document)

    async def look_whether_stopped(self) -> None:
        """Open `watch-stopped` if there was no evaluation for too long."""
        silent_s = self._clock.monotonic() - self._evaluated_s
        if silent_s <= self._stopped_after_s or any(one.is_open for one in self._own):
            return
        now = self._clock.now()
        why = self.problem or "it responds, and does not evaluate"
        last = "" if self.document is None else f", the last one was at {isoformat(self.document.evaluated_at)}"
        detail = f"no evaluation for {describe(int(silent_s * SECOND_US))}{last}: {why}"
        _log.error("watch stopped", detail=detail)
        await self._put(Incident(f"{OWN}{now}", EVERY_HOST, WATCH_STOPPED, detail, _FIX, now, now, now), now)
        await self._on_incidents()

    @property
    def stops_in_s(self) -> float:
        """In how many seconds the watch counts as stopped without an evaluation; negative if that has passed."""
        return self._evaluated_s + self._stopped_after_s - self._clock.monotonic()

    @property
    def _stopped_after_s(self) -> float:
        return STOPPED_AFTER_TICKS * self._tick_us / SECOND_US + ALLOWANCE_S

    async def _take(self, document: Document) -> None:
        """Record what the daemon lists after an evaluation."""
        now, before = self._clock.now(), self.document
        self.document = document
        if before is None or before.evaluated_at != document.evaluated_at:
            self._evaluated_s = self._clock.monotonic()
            await self._end_stopped(document.evaluated_at, now)
        self._listed = await self._ledger_thread.call(self._ledger.incidents.take, document.incidents, now)
        await self._on_incidents()

    async def _end_stopped(self, at: Instant, now: Instant) -> None:
        for one in [one for one in self._own if one.is_open]:
            _log.info("watch goes on", stopped_for_s=(now - one.opened_at) // SECOND_US)
            await self._put(replace(one, ended_at=max(at, one.opened_at), resolved_at=now), now)

    async def _put(self, incident: Incident, now: Instant) -> None:
        others = [one for one in self._own if one.id != incident.id]
        self._own = [incident, *(one for one in others if one.is_open or now - (one.ended_at or now) < _OWN_KEPT_US)]
        await self._ledger_thread.call(self._ledger.incidents.put, incident, now)
