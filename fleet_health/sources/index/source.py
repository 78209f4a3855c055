"""Follow the index of a receiver: find the start by bisection on time, and then tail the file.

inotify events are only hints. Correctness depends on reading the file at every evaluation, because events overflow,
some file systems send none, and a symlink may be replaced in a directory that is not watched.
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
from fleet_health.model.coverage import Share
from fleet_health.model.row_dates import RowDates, late_us
from fleet_health.model.subject import named
from fleet_health.model.window import NEVER
from fleet_health.parsing.bisection import entry_offset
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.rejection import BLANK_LINE, Rejection
from fleet_health.sources.follower import LOOK_AGAIN, Follower
from fleet_health.sources.index.tail import Tail
from fleet_health.sources.state import Phase, no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from fleet_health.config.schema import IndexSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Upload
    from fleet_health.sources.index.open_file import Block, ReadAt

_DIRECTORY_GONE = Mask.MOVE_SELF | Mask.DELETE_SELF | Mask.IGNORED | Mask.UNMOUNT
_HINTS = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.DELETE | Mask.MOVE_SELF | Mask.DELETE_SELF | Mask.ONLYDIR

FUTURE = Rejection("row from the future, taken as now", "")

# If none of so many rows at the start of a file has a time, no row is assumed to have one.
_FIRST_ROWS = 100

_log = structlog.get_logger("fleet_health.sources")


class IndexFollower(Follower):
    """Follows the index, and delivers the uploads in it."""

    longest_wait = 60.0  # every evaluation reads, and inotify gives hints in between

    def __init__(
        self,
        settings: IndexSettings,
        *,
        lookback_us: int,
        deliver: Callable[[Iterable[Upload]], None],
        clock: Callable[[], Instant],
        receiver: str = "",
        dates: RowDates | None = None,
        every_us: int = 0,
        is_every_wanted: bool = False,
    ) -> None:
        """Prepare to follow.

        Args:
            settings: Where the index is, and how to parse a row.
            lookback_us: How far back from the present to begin.
            deliver: Takes the uploads.
            clock: Returns the present.
            receiver: The name of the receiver, if there are several.
            dates: Dates the rows; None if no row is known to have been dated ahead.
            every_us: How far back from the present to deliver every upload, in microseconds.
            is_every_wanted: Whether to deliver every older upload as well. If not, only the latest of a host may be
                delivered.

        """
        super().__init__(named("index", receiver), clock)
        self.dates = RowDates() if dates is None else dates
        self._is_reading_new = False  # the rows were written since the last read
        self._parser = index_parser(settings)
        self._deliver = deliver
        self._lookback_us = lookback_us
        self._every_us = every_us
        self._is_every_wanted = is_every_wanted
        self._path = settings.path
        self._extent = Extent()
        self._tail = index_tail(settings, self._parser, lambda: clock() - lookback_us, self._extent)
        self._inotify: Inotify | None = None
        self._is_opened_anew = True  # the path may lead to a directory that is not watched
        self._is_inotify_missed = False
        self._last_row_at: Instant | None = None
        self._file_written_at: Instant | None = None
        # Blocks that were read but not delivered yet, because a late read is still valid.
        self._read: deque[tuple[Block, tuple[list[Upload], list[Rejection], int], Share]] = deque()
        self._is_closed = False

    async def _read_to_end(self, *, is_hinted: bool) -> None:  # noqa: ARG002 - reading a file needs no hint
        # In a thread, because a read may wait for the disk, and a block of unusual lines takes long to parse. A
        # complete block for each call, because a switch to a thread has a cost.
        is_end = False
        while not is_end:
            # The order of rows matters where a row may have been dated ahead. Determined here, because the record of
            # such rows belongs to the loop.
            plain_until = min(self._clock() - self._every_us, self.dates.plain_until)
            try:
                await call_at(self._path, self._read_block, plain_until)
            finally:  # even if this read is late, because an earlier one may have been late too
                is_end = self._take_in_what_was_read()
            self._note_unread()
            if not is_end:
                self._progress()

    def _take_in_what_was_read(self) -> bool:
        """Deliver the blocks that were read. Return whether the last one was the end."""
        is_end = False
        while self._read:
            block, parsed, share = self._read.popleft()
            if block.event:
                _log.info("index changed", change=block.event, path=str(self._path))
                self._is_opened_anew, self._is_reading_new = True, False
            self.state.begins_at = self._extent.begins_at
            self.state.note(share)
            self._take_in(block, *parsed)
            is_end = block.is_end and not block.event
            self._is_reading_new |= is_end
            if is_end:
                self._extent.note_end()
        return is_end

    def _read_block(self, plain_until: Instant) -> None:
        try:
            block = self._tail.read()
            self.state.newest_at = self._written_at(block.lines)
            if block.lines and self.state.phase is Phase.FOLLOWING:  # older rows may have been written at any time
                self.state.late_us = late_us(self._last_row_at, self._clock())
            self._extent.note(self._parser, block.lines)
            self._file_written_at = no_later_than_written(NEVER, self._path)
            parsed = self._parsed(block.lines, plain_until)
            self._read.append((block, parsed, share_of(self._parser, block.lines, *parsed)))
        finally:
            if self._is_closed:  # while this read hung
                self._tail.close()

    def _parsed(self, lines: bytes, plain_until: Instant) -> tuple[list[Upload], list[Rejection], int]:
        # By its last row, for `parse_latest` would read a block of new rows twice.
        is_new = self._last_row_at is not None and self._last_row_at > plain_until
        if not (self._is_every_wanted or is_new):
            return self._parser.parse_latest(lines, plain_until)
        uploads, rejections = self._parser.parse_every(lines)
        return uploads, rejections, len(uploads)

    def _written_at(self, lines: bytes) -> Instant | None:
        """Return when the last row of the lines was written; None if that is not known."""
        if lines and (at := self._parser.time_of(lines[lines.rfind(b"\n", 0, -1) + 1 :])) is not None:
            self._last_row_at = at
        return no_later_than_written(self._last_row_at, self._path)

    def _take_in(self, block: Block, rows: list[Upload], rejections: list[Rejection], count: int) -> None:
        now = self._clock()
        uploads, ahead = self.dates.date(
            rows,
            now,
            written_at=self._file_written_at,
            is_end=block.is_end,
            is_new=self._is_reading_new and not block.is_again,
        )
        rejections += block.rejections + [FUTURE] * ahead
        if not block.is_again:
            self._count(count, rejections)
        # Older uploads are left out, because their hosts are not watched and must not take the place of a watched host.
        self._deliver([upload for upload in uploads if upload.at >= now - self._lookback_us])

    def _note_unread(self) -> None:
        """Record the rotated files that could not be read, and log each reason once."""
        unread = {str(path): reason for path, reason in self._tail.unread.items()}
        for path in unread.items() - self.state.unread.items():
            _log.warning("rotated index not read", file=path[0], reason=path[1])
        self.state.unread = unread

    async def _has_hint(self) -> bool:
        if self._is_opened_anew:
            self._is_opened_anew = False
            self._unwatch()
            try:
                self._inotify = await call_at(self._path, self._watched)
            except PathHangs:
                self._is_opened_anew = True
            return False  # changes before the watch gave no hint, so the file is read again
        if self._inotify is None:
            await asyncio.sleep(LOOK_AGAIN)
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(self.longest_wait):
                self._drain(await self._inotify.get())
                return True
        return False

    def _drain(self, event: Event | None) -> None:
        """Discard all pending events, because several mean the same as one."""
        while self._inotify is not None and event is not None:
            if event.mask & _DIRECTORY_GONE:
                self._is_opened_anew = True  # the directory at the path may have been replaced
            event = self._inotify.sync_get()

    def _watched(self) -> Inotify | None:
        """Watch the directories of the index and of its link target; return None if inotify is not available."""
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
        """Close inotify. Only the task that waits for hints may do so: the loop must not watch a closed descriptor."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    async def _release(self) -> None:
        """Do nothing, because the tail itself closes a failed file, and keeps a file that is still written to."""

    async def close(self) -> None:
        """Close the index."""
        self._unwatch()
        self._is_closed = True
        with suppress(PathHangs):
            await call_at(self._path, self._tail.close)


def index_parser(settings: IndexSettings) -> IndexParser:
    """Return the parser for the rows of an index."""
    return IndexParser(host_field=settings.host_field, time_field=settings.time_field)


def share_of(
    parser: IndexParser, lines: bytes, rows: Sequence[Upload], rejections: Sequence[Rejection], count: int
) -> Share:
    """Return the share of a block that was understood.

    Args:
        parser: The parser of the block.
        lines: The lines of the block.
        rows: The uploads that were understood, or only the latest of each host.
        rejections: A rejection for each row that was not understood.
        count: The number of rows that were understood.

    """
    missed = sum(one.reason != BLANK_LINE for one in rejections)
    in_a_row = parser.missed_in_a_row(lines) if missed else 0
    return Share(count + missed, count, in_a_row, max((row.at for row in rows), default=None))


class Extent:
    """Records where an index begins, if it does not reach back to the start of reading."""

    def __init__(self) -> None:
        self._first_at: Instant | None = None
        self.reaches_back = False
        """Whether there are older rows than those that were read, or the index was empty at first."""

    @property
    def begins_at(self) -> Instant | None:
        """The date of the first row; None if there is none, or if there are rows before those that were read."""
        return None if self.reaches_back else self._first_at

    def note(self, parser: IndexParser, lines: bytes) -> None:
        """Record a block, in the order of reading."""
        if self._first_at is None and not self.reaches_back:
            times = (parser.time_of(line) for line in lines.split(b"\n", _FIRST_ROWS)[:_FIRST_ROWS])
            self._first_at = next((at for at in times if at is not None), None)

    def note_end(self) -> None:
        """Record that the end was reached. An empty index lacks no row, because all later rows will be read."""
        self.reaches_back |= self._first_at is None


def index_tail(
    settings: IndexSettings, parser: IndexParser, since: Callable[[], Instant], extent: Extent | None = None
) -> Tail:
    """Return a tail of an index and its rotated files, from the first row that may be dated `since` or later.

    `since` is called for each file that is opened. `extent` records whether older rows were skipped.
    """
    begin = Extent() if extent is None else extent

    def entry(read_at: ReadAt, size: int) -> int:
        offset = entry_offset(read_at, size, parser.time_of, since())
        if offset:
            begin.reaches_back = True
        return offset

    def rotated() -> list[Path]:
        files = rotated_files(settings.path, settings.rotated, since())
        if len(rotated_files(settings.path, settings.rotated, 0)) > len(files):
            begin.reaches_back = True
        return files

    return Tail(settings.path, entry, rotated)
