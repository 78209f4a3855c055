"""Follow the journal of a receiver in slices of time, each in a thread, because the disk of the journal may hang.

libsystemd permits one thread at a time to use a reader. So every call that uses one (module `reading`) goes through
`_call`, which begins no call before the previous one has returned, and delivers its results.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from fleet_health.errors import PathHangs
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.coverage import BROKEN, Gap
from fleet_health.model.instant import isoformat
from fleet_health.model.subject import named
from fleet_health.sources.follower import Follower
from fleet_health.sources.journal.reading import JournalReading
from fleet_health.sources.state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.sources.journal.reading import Look, Part, Slice

# The path in errors if no directory is configured.
_JOURNAL = Path("/var/log/journal")

T = TypeVar("T")

_log = structlog.get_logger("fleet_health.sources")


class JournalFollower(Follower):
    """Follows the lines of the units of a receiver and the messages about them, and delivers observations."""

    longest_wait = 60.0  # for entries without a signal from the descriptor; every evaluation reads as well

    def __init__(
        self,
        settings: JournalSettings,
        *,
        lookback_us: int,
        deliver: Callable[[Iterable[LogObservation | UnitState]], None],
        clock: Callable[[], Instant],
        seen_until: Instant | None = None,
        states_us: int = 0,
        receiver: str = "",
    ) -> None:
        """Prepare to follow.

        Args:
            settings: The journal, the units, and the patterns of their lines.
            lookback_us: How far back from the present to begin.
            deliver: Takes the observations.
            clock: Returns the present.
            seen_until: The instant up to which an earlier process has read this journal; None if none has.
            states_us: How much further back the starts and stops of the unit are read.
            receiver: The name of the receiver, if there are several.

        """
        super().__init__(named("journal", receiver), clock)
        self.state.window_us = lookback_us
        self._settings = settings
        self._lookback_us = lookback_us
        self._deliver = deliver
        self._reading = JournalReading(
            settings,
            self.state,
            self,
            lookback_us=lookback_us,
            states_us=states_us,
            seen_until=seen_until,
            clock=clock,
        )
        self._is_closed = False

    async def _read_to_end(self, *, is_hinted: bool) -> None:
        self._is_closed = False
        look = await self._drain(await self._call(self._reading.begin, is_hinted))
        if look.is_outdated:
            await self._release(look.outdated)
            await self._drain(await self._call(self._reading.begin_with_new))

    async def _drain(self, look: Look) -> Look:
        while not look.is_end:
            self._progress()
            await self._call(self._reading.read_slice, look)
        return look

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that uses the reader, in a thread, and deliver its results."""

        def call() -> T:
            try:
                return function(*arguments)
            finally:
                # Close readers that were released while this call hung, or that it has opened but are no longer needed.
                if self._is_closed:
                    self._reading.leave(self._reading.parts)
                self._reading.close_left()

        try:
            return await call_at(self._settings.directory or _JOURNAL, call)
        finally:
            while self._reading.found:
                self._reading.found.popleft()()

    def take(self, read: Slice) -> None:
        """Take the entries of one slice of time."""
        self._count(read.count, read.rejections)
        self.state.note(read.share)
        self._lack_behind_broken(read.behind_broken)
        self.state.newest_at = read.newest_at
        if read.count:
            self.state.void_since = None
        self._deliver(read.observations)

    def take_states(self, states: Sequence[UnitState]) -> None:
        """Take the states of the units that systemd reported."""
        self.state.void_since = None
        self._deliver(states)

    def take_gap(self, gap: Gap) -> None:
        """Take a gap."""
        self.counters.gaps[self.state.name] += 1
        _log.warning(
            "gap in the journal",
            since=isoformat(gap.since),
            until=isoformat(gap.until),
            reason=gap.reason,
            messages=gap.messages or None,
        )
        self.state.lack(gap, self._clock() - self._lookback_us)

    def take_unheard(self, unheard: tuple[str, ...]) -> None:
        """Take one sentence for each configured unit or match without an entry."""
        if unheard != self.state.unheard:
            for sentence in unheard:
                _log.error("receiver not found in the journal", source=self.state.name, reason=sentence)
        self.state.unheard = unheard

    def _lack_behind_broken(self, instants: Sequence[Instant]) -> None:
        """Record lines that may be missing. They are not logged, because a client can cause any number."""
        if instants:
            gap = Gap(min(instants), max(instants), BROKEN, len(instants))
            self.state.lack(gap, self._clock() - self._lookback_us)

    async def _has_hint(self) -> bool:
        async with self._turn:  # while no other call uses the readers
            if self.state.phase is not Phase.FOLLOWING:
                return False
            watched = [
                (part, reader, reader.fd) for part, reader in self._reading.open_parts() if reader.fd is not None
            ]
            timeouts = [timeout for _, reader, _ in watched if (timeout := reader.timeout()) is not None]
        if not watched:
            await asyncio.sleep(self.longest_wait)
            return False
        loop, hint = asyncio.get_running_loop(), asyncio.Event()
        # Watched only while waiting, because the descriptor becomes readable whenever any unit logs.
        for _, _, fd in watched:
            loop.add_reader(fd, hint.set)
        try:
            async with asyncio.timeout(min([self.longest_wait, *timeouts])):
                await hint.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            for part, reader, fd in watched:
                if reader is part.reader:  # if it was closed meanwhile, its descriptor number may be reused
                    loop.remove_reader(fd)

    async def close(self) -> None:
        """Close the journal."""
        self._is_closed = True
        await self._release()

    async def _release(self, parts: Collection[Part] | None = None) -> None:
        going = self._reading.parts if parts is None else parts
        # Before closing, because the loop must never watch a closed descriptor.
        for part in going:
            if part.reader is not None and part.reader.fd is not None:
                asyncio.get_running_loop().remove_reader(part.reader.fd)
        if self._reading.leave(going):
            with suppress(PathHangs):  # the hanging call closes them when it returns
                await self._call(self._reading.close_left)
