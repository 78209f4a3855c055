"""Regular work on the ledger: it is repaired, copied and pruned, and what has waited too long is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from fleet_health.model.instant import describe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.ledger.ledger import Ledger
    from fleet_health.notify.retry import Clock
    from fleet_health.notify.worker import Worker

_EVERY_S = {"copy": 60.0, "give up": 600.0, "prune": 86_400.0}

_log = structlog.get_logger("fleet_health.notify")


class Upkeep:
    """Does each piece of work at its interval."""

    def __init__(self, ledger: Ledger, ledger_thread: Worker, clock: Clock) -> None:
        """Take the ledger, its thread, and the clocks."""
        self._ledger, self._ledger_thread, self._clock = ledger, ledger_thread, clock
        self._done_s: dict[str, float] = {}

    async def look(self, destinations: Iterable[DestinationSettings]) -> None:
        """Do what is due now."""
        call, ledger = self._ledger_thread.call, self._ledger
        await call(ledger.mend)
        if self._is_due("copy"):
            await call(ledger.copy)
        if self._is_due("give up"):
            for one in destinations:
                await self._give_up(one)
        if self._is_due("prune"):
            await call(ledger.prune, self._clock.now())

    def _is_due(self, work: str) -> bool:
        """Return whether some work is due; if so, record that it is done now."""
        now_s = self._clock.monotonic()
        is_due = now_s - self._done_s.get(work, float("-inf")) >= _EVERY_S[work]
        if is_due:
            self._done_s[work] = now_s
        return is_due

    async def _give_up(self, one: DestinationSettings) -> None:
        now = self._clock.now()
        count = await self._ledger_thread.call(self._ledger.outbox(one.name).give_up, now - one.give_up_after_us, now)
        if count:
            _log.error(
                "notifications dropped after waiting too long",
                destination=one.name,
                notifications=count,
                waited=describe(one.give_up_after_us),
            )
