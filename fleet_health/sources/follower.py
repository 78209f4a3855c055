"""What following an input is, whichever input: read to the end, wait for a hint, and again; or wait until it is there.

`poll` may be called at any time beside `follow`: the evaluation calls it, so that what was written before its instant
is in.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn

import structlog

from fleet_health.errors import SourceUnavailable
from fleet_health.sources.state import Phase, SourceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.domain.instant import Instant

# Rests between two looks: a burst of hints costs one, and a source that is away is soon found again.
_REST = 0.25
_RETRY = 2.0

_log = structlog.get_logger("fleet_health.sources")


class Follower(ABC):
    """Follows one input."""

    def __init__(self, name: str, clock: Callable[[], Instant]) -> None:
        self.state = SourceState(name)
        self.on_progress: Callable[[], None] = lambda: None
        """Called whenever it has moved: read something, or seen that there is nothing to read."""
        self.longest_wait = _REST + _RETRY
        """The longest time between two signs of progress, in seconds, if all is well."""
        self._clock = clock
        self._turn = asyncio.Lock()

    async def poll(self) -> None:
        """Read everything that is there now, or see that there is nothing to read."""
        async with self._turn:
            started_at = self._clock()
            try:
                await self._read_to_end()
            except SourceUnavailable as error:
                await self._lose(str(error))
            else:
                self._gain(started_at)
            self.on_progress()

    async def follow(self) -> NoReturn:
        """Follow the input for ever."""
        while True:
            await self.poll()
            if self.state.phase is Phase.WAITING:
                await asyncio.sleep(_RETRY)
            else:
                await self._wait_for_hint()
                await asyncio.sleep(_REST)

    @abstractmethod
    async def _read_to_end(self) -> None:
        """Read to the present end, opening the input if need be; raises SourceUnavailable."""

    @abstractmethod
    async def _wait_for_hint(self) -> None:
        """Wait until there may be more; return after some seconds in any case."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything. To be called when `follow` has ended."""

    def _gain(self, seen_until: Instant) -> None:
        state = self.state
        if state.phase is not Phase.FOLLOWING:
            _log.info("source followed", source=state.name, read=state.read, rejected=dict(state.rejections.by_reason))
        state.phase, state.reason, state.seen_until = Phase.FOLLOWING, "", seen_until

    async def _lose(self, reason: str) -> None:
        state = self.state
        if (state.phase, state.reason) != (Phase.WAITING, reason):
            _log.warning("source not available", source=state.name, reason=reason, retry_seconds=_RETRY)
        state.phase, state.reason = Phase.WAITING, reason
        await self.close()
