"""The loop that follows any input: read to its end, wait for a hint of new entries, repeat; retry if it is unavailable.

`poll` may be called at any time while `follow` runs. Each evaluation calls it, to include all entries written before
its instant.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.errors import (
    PathHangs,
    SourceFailing,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceUnavailable,
)
from fleet_health.model.backoff import Backoff
from fleet_health.model.counters import Counters
from fleet_health.sources.state import Phase, SourceState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.parsing.rejection import Rejection

# In seconds. A burst of hints causes one read, and an unavailable source is retried soon.
_REST = 0.5
LOOK_AGAIN = 2.0

_PHASES = {
    SourceMissing: Phase.WAITING,
    SourceRefused: Phase.REFUSED,
    SourceForbidden: Phase.REFUSED,
    SourceFailing: Phase.FAILING,
    PathHangs: Phase.FAILING,
}

_log = structlog.get_logger("fleet_health.sources")


class Follower(ABC):
    """Follows one input.

    Attributes:
        state: The state of the source: its phase, its gaps, and the share that was understood.
        counters: Counts of entries, rejections and retries.
        on_progress: Called after each read, even if there was no new entry.
        longest_wait: The number of seconds without a hint after which it reads again.

    """

    longest_wait: float

    def __init__(self, name: str, clock: Callable[[], Instant]) -> None:
        self.state = SourceState(name)
        self.counters = Counters()
        self.on_progress: Callable[[], None] = lambda: None
        self._clock = clock
        self._backoff = Backoff()
        self._turn = asyncio.Lock()

    @property
    def rest(self) -> float:
        """The longest time until the next read, in seconds, unless a call hangs."""
        match self.state.phase:
            case Phase.CATCHING_UP:
                return 0.0
            case Phase.FOLLOWING:
                return self.longest_wait + _REST
            case Phase.FAILING:
                return self._backoff.wait_s
            case _:
                return LOOK_AGAIN

    async def poll(self, *, is_hinted: bool = False) -> None:
        """Read to the present end of the input, and update the state.

        Args:
            is_hinted: Whether something indicates new entries. Without a hint, the source also looks for entries that
                were not signalled.

        """
        async with self._turn:
            started_at = self._clock()
            try:
                await self._read_to_end(is_hinted=is_hinted)
            except SourceUnavailable as error:
                await self._lose(error)
            else:
                self._gain(started_at)
            self.on_progress()

    async def follow(self) -> NoReturn:
        """Follow the input until cancelled."""
        is_hinted = False
        while True:
            await self.poll(is_hinted=is_hinted)
            is_hinted = False
            if self.state.phase is Phase.FOLLOWING:
                is_hinted = await self._has_hint()
                if is_hinted:
                    await asyncio.sleep(_REST)
                continue
            await asyncio.sleep(self.rest)
            self.counters.retries[self.state.name] += 1
            if self.state.phase is Phase.FAILING:
                self._backoff.grow()

    def _count(self, count: int, rejections: Sequence[Rejection]) -> None:
        """Count entries that were read, and their rejections."""
        name, counters = self.state.name, self.counters
        self.state.read += count
        self.state.rejections.add(rejections)
        counters.read[name] += count
        counters.rejections.update((name, rejection.reason) for rejection in rejections)

    def _progress(self) -> None:
        """Record that a part of the backlog was read."""
        if self.state.phase not in (Phase.FOLLOWING, Phase.CATCHING_UP):
            self.state.phase = Phase.CATCHING_UP
            _log.info("source catching up", source=self.state.name)
        self.on_progress()

    @abstractmethod
    async def _read_to_end(self, *, is_hinted: bool) -> None:
        """Read to the present end, after opening the input if it is not open. Raise SourceUnavailable if that fails."""

    @abstractmethod
    async def _has_hint(self) -> bool:
        """Wait for a hint of new entries. Return False if there was none within `longest_wait`."""

    @abstractmethod
    async def _release(self) -> None:
        """Close the input. The next read opens it again."""

    @abstractmethod
    async def close(self) -> None:
        """Close the input. Call it after `follow` has ended."""

    def _gain(self, seen_until: Instant) -> None:
        state = self.state
        if state.phase is not Phase.FOLLOWING:
            _log.info("source caught up", source=state.name, read=state.read, rejected=dict(state.rejections.by_reason))
        state.phase, state.reason, state.unseen_since, state.seen_until = Phase.FOLLOWING, "", None, seen_until
        self._backoff.reset()

    async def _lose(self, error: SourceUnavailable) -> None:
        state, phase, reason = self.state, _PHASES[type(error)], error.of_service
        if (state.phase, state.reason) != (phase, reason):
            _log.warning("source not available", source=state.name, state=str(phase), reason=reason)
        state.phase, state.reason = phase, reason
        if state.unseen_since is None:
            state.unseen_since = self._clock()
        if not isinstance(error, PathHangs):  # a hanging call still uses the input
            await self._release()
