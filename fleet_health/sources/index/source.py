"""Following the receiver's index: entered by bisection on time, then tailed.

inotify only hints. What correctness rests on is a look at the file every two seconds: events overflow, some
filesystems send none, and a symlink may be swapped in a directory that nobody watches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from asyncinotify import Event, Inotify, Mask

from fleet_health.errors import PathHangs
from fleet_health.files.hanging_calls import call_at
from fleet_health.files.rotation import rotated_files
from fleet_health.model.row_dates import FUTURE_LIMIT_US, admit_live, late_us
from fleet_health.model.subject import named
from fleet_health.parsing.bisection import entry_offset
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.rejection import Rejection
from fleet_health.sources.follower import Follower
from fleet_health.sources.index.tail import Tail
from fleet_health.sources.state import Phase, no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleet_health.config.schema import IndexSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Upload
    from fleet_health.sources.index.open_file import Block, ReadAt

_DIRECTORY_GONE = Mask.MOVE_SELF | Mask.DELETE_SELF | Mask.IGNORED | Mask.UNMOUNT
_HINTS = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.DELETE | Mask.MOVE_SELF | Mask.DELETE_SELF | Mask.ONLYDIR

_FUTURE = Rejection("row from the future, taken as now", "")

_log = structlog.get_logger("fleet_health.sources")


class IndexFollower(Follower):
    """Follows the index, and hands on the uploads in it."""

    longest_wait = 2.0

    def __init__(
        self,
        settings: IndexSettings,
        *,
        lookback_us: int,
        deliver: Callable[[Iterable[Upload]], None],
        clock: Callable[[], Instant],
        receiver: str = "",
    ) -> None:
        """Prepare to follow.

        Args:
            settings: Where the index is, and how a row is read.
            lookback_us: How far back from the present to begin.
            deliver: Takes the uploads.
            clock: Tells the present.
            receiver: The name of the receiver, if there are several.

        """
        super().__init__(named("index", receiver), clock)
        self._parser = index_parser(settings)
        self._deliver = deliver
        self._lookback_us = lookback_us
        self._path = settings.path
        self._tail = index_tail(settings, self._parser, lambda: clock() - lookback_us)
        self._inotify: Inotify | None = None
        self._is_opened_anew = True  # and so perhaps in another directory than the one that is watched
        self._is_inotify_missed = False
        self._last_row_at: Instant | None = None
        # What was read and not taken in yet: a read that was late is still good.
        self._read: deque[tuple[Block, tuple[list[Upload], list[Rejection], int]]] = deque()
        self._is_closed = False

    async def _read_to_end(self, *, is_hinted: bool) -> None:  # noqa: ARG002 - a look at a file misses nothing
        # In a thread, because a read may wait for the disk, and a block of odd lines takes its time. A whole block a
        # call, because a thread costs a hop.
        is_end = False
        while not is_end:
            try:
                await call_at(self._path, self._read_block)
            finally:  # also if it is late, for the one before it may have been late, too
                is_end = self._take_in_what_was_read()
            if not is_end:
                self._progress()

    def _take_in_what_was_read(self) -> bool:
        """Take in the blocks that were read; return whether the last one was the end."""
        is_end = False
        while self._read:
            block, parsed = self._read.popleft()
            if block.event:
                _log.info("index " + block.event, path=str(self._path))
                self._is_opened_anew = True
            self._take_in(block, *parsed)
            self._note_unread()
            is_end = block.is_end and not block.event
        return is_end

    def _read_block(self) -> None:
        try:
            block = self._tail.read()
            self.state.newest_at = self._written_at(block.lines)
            if block.lines and self.state.phase is Phase.FOLLOWING:  # what was there before was written at any time
                self.state.late_us = late_us(self._last_row_at, self._clock())
            self._read.append((block, self._parser.parse_latest(block.lines, self._clock() + FUTURE_LIMIT_US)))
        finally:
            if self._is_closed:  # while this read hung
                self._tail.close()

    def _written_at(self, lines: bytes) -> Instant | None:
        """Return when the last row that was read was written; None if that is not known."""
        if lines and (at := self._parser.time_of(lines[lines.rfind(b"\n", 0, -1) + 1 :])) is not None:
            self._last_row_at = at
        return no_later_than_written(self._last_row_at, self._path)

    def _take_in(self, block: Block, rows: list[Upload], rejections: list[Rejection], count: int) -> None:
        now = self._clock()
        # Who uploaded before that is not watched, and must not take the place of who is.
        uploads, ahead = admit_live([row for row in rows if row.at >= now - self._lookback_us], now)
        rejections += block.rejections + [_FUTURE] * ahead
        if not block.is_again:
            self._count(count, rejections)
        self._deliver(uploads)

    def _note_unread(self) -> None:
        """Note which rotated files could not be read; each reason is logged once."""
        unread = {str(path): reason for path, reason in self._tail.unread.items()}
        for path in unread.items() - self.state.unread.items():
            _log.warning("rotated index not read", file=path[0], reason=path[1])
        self.state.unread = unread

    async def _has_hint(self) -> bool:
        if self._is_opened_anew:
            self._unwatch()
            try:
                self._inotify = await call_at(self._path, self._watched)
            except PathHangs:
                return False  # as the next read will report
            self._is_opened_anew = False
        try:
            async with asyncio.timeout(self.longest_wait):
                if self._inotify is not None:
                    self._drain(await self._inotify.get())
                    return True
                await asyncio.sleep(self.longest_wait)
        except TimeoutError:
            pass
        return False

    def _drain(self, event: Event | None) -> None:
        """Take all hints that are there: many of them mean no more than one."""
        while self._inotify is not None and event is not None:
            if event.mask & _DIRECTORY_GONE:
                self._is_opened_anew = True  # another directory may stand at the path by now
            event = self._inotify.sync_get()

    def _watched(self) -> Inotify | None:
        """Watch the directory of the index, and of the file that it is a link to; None if that cannot be."""
        inotify = None
        try:
            inotify = Inotify(sync_timeout=0)
            for directory in {self._path.parent, self._path.resolve().parent}:
                inotify.add_watch(directory, _HINTS)
        except OSError as error:
            if inotify is not None:
                inotify.close()
            if not self._is_inotify_missed:
                self._is_inotify_missed = True
                _log.warning("inotify not available, polling every 2 s", reason=error.strerror)
            return None
        return inotify

    def _unwatch(self) -> None:
        """Let go of inotify. Only who waits for hints may do so, or the loop would watch a closed descriptor."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    async def _let_go(self) -> None:
        """Do nothing: the tail lets go of what failed by itself, and keeps what its writer may still add to."""

    async def close(self) -> None:
        """Close the index."""
        self._unwatch()
        self._is_closed = True
        with suppress(PathHangs):
            await call_at(self._path, self._tail.close)


def index_parser(settings: IndexSettings) -> IndexParser:
    """Make the parser that an index's settings ask for."""
    return IndexParser(host_field=settings.host_field, time_field=settings.time_field)


def index_tail(settings: IndexSettings, parser: IndexParser, since: Callable[[], Instant]) -> Tail:
    """Tail an index, and what it was rotated to, from where the rows may be dated `since` or later.

    `since` is asked each time that a file is entered.
    """

    def entry(read_at: ReadAt, size: int) -> int:
        return entry_offset(read_at, size, parser.time_of, since())

    return Tail(settings.path, entry, lambda: rotated_files(settings.path, settings.rotated, since()))
