"""Read the index once, to its present end, without an event loop, for commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.files.hang_watch import note_progress, touching
from fleet_health.model.coverage import Coverage, Share, Understanding
from fleet_health.model.observation import Upload
from fleet_health.model.row_dates import RowDates
from fleet_health.model.window import NEVER
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.sources.index.source import FUTURE, Extent, index_parser, index_tail, share_of
from fleet_health.sources.state import no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fleet_health.config.schema import IndexSettings
    from fleet_health.model.instant import Instant
    from fleet_health.parsing.index_row import IndexParser
    from fleet_health.parsing.rejection import Rejection


@dataclass(frozen=True, slots=True)
class IndexPast:
    """The results of reading the index besides the uploads.

    Attributes:
        rejections: The rows that were rejected, by reason.
        coverage: The begin of the index, and the share that was understood.
        unread: Path of a rotated file that could not be read to its end -> the reason.

    """

    rejections: RejectionCount
    coverage: Coverage
    unread: dict[Path, str]


def read_index(
    settings: IndexSettings,
    since: Instant,
    until: Instant,
    deliver: Callable[[Sequence[Upload]], None],
    *,
    every_since: Instant | None = None,
    now: Instant | None = None,
    dates: RowDates | None = None,
) -> IndexPast:
    """Deliver the uploads at or after `since` in the index and its rotated files.

    If a host has several uploads before `every_since`, only the latest may be delivered. All later uploads are.

    Args:
        settings: Where the index is, and how to parse a row.
        since: How far back to read.
        until: The instant of the evaluation.
        deliver: Takes the uploads.
        every_since: From when on to deliver every upload; default `until`.
        now: The present; a row with a later time is dated ahead. Default `until`.
        dates: Dates the rows; None if no row is known to have been dated ahead.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """
    dates = dates or RowDates()
    plain_until = min(until if every_since is None else every_since, until, dates.plain_until)

    def parse(parser: IndexParser, lines: bytes) -> tuple[list[Upload], list[Rejection], int]:
        return parser.parse_latest(lines, plain_until)

    return _read_index(settings, since, deliver, parse, now=until if now is None else now, dates=dates)


def read_every_row(
    settings: IndexSettings,
    since: Instant,
    deliver: Callable[[Sequence[Upload]], None],
    *,
    now: Instant = NEVER,
    dates: RowDates | None = None,
) -> IndexPast:
    """Deliver every upload of the index and its rotated files, in the order of the rows.

    Args:
        settings: Where the index is, and how to parse a row.
        since: How far back to read.
        deliver: Takes the uploads.
        now: The present; a row with a later time is dated ahead.
        dates: Dates the rows; None if no row is known to have been dated ahead.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """

    def parse(parser: IndexParser, lines: bytes) -> tuple[list[Upload], list[Rejection], int]:
        uploads, rejections = parser.parse_every(lines)
        return uploads, rejections, len(uploads)

    return _read_index(settings, since, deliver, parse, now=now, dates=dates or RowDates())


def _read_index(
    settings: IndexSettings,
    since: Instant,
    deliver: Callable[[Sequence[Upload]], None],
    parse: Callable[[IndexParser, bytes], tuple[list[Upload], list[Rejection], int]],
    *,
    now: Instant,
    dates: RowDates,
) -> IndexPast:
    parser, rejections, share, extent = index_parser(settings), RejectionCount(), Share(), Extent()
    understanding = Understanding()
    with touching(settings.path):
        tail = index_tail(settings, parser, lambda: since, extent)
        is_end = False
        while not is_end:
            block = tail.read()
            is_end = block.is_end
            # This is the only read, so a last line without its newline is taken now.
            lines = block.lines + (tail.rest() if is_end else b"")
            rows, rejected, count = parse(parser, lines)
            extent.note(parser, lines)
            share = share.followed_by(share_of(parser, lines, rows, rejected, count))
            _look_for_misses(understanding, parser, lines, rows, rejected)
            written_at = no_later_than_written(NEVER, settings.path)
            uploads, ahead = dates.date(rows, now, written_at=written_at, is_end=is_end)
            deliver([upload for upload in uploads if upload.at >= since])
            rejections.add(rejected + block.rejections + [FUTURE] * ahead)
            note_progress()
        tail.close()
    begins_at = extent.begins_at if share.came_in or extent.reaches_back else NEVER
    return IndexPast(
        rejections, Coverage("index", begins_at=begins_at, share=share, misses=tuple(understanding.misses)), tail.unread
    )


def _look_for_misses(
    understanding: Understanding,
    parser: IndexParser,
    lines: bytes,
    rows: list[Upload],
    rejected: list[Rejection],
) -> None:
    """Record which rows of a block were understood. Parse row by row only if some were rejected."""
    if not rejected:
        for row in rows[:1] + rows[-1:]:
            understanding.note(row.at)
        return
    for line in lines.split(b"\n"):
        if line.strip():
            found = parser.parse(line)
            if isinstance(found, Upload):
                understanding.note(found.at)
            else:
                understanding.note_missed()


def ensure_index_readable(settings: IndexSettings, since: Instant) -> None:
    """Open and close the index, so that a command fails before it has done a lot of work.

    Args:
        settings: Where the index is.
        since: The instant from which it will be read.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """
    with touching(settings.path):
        tail = index_tail(settings, index_parser(settings), lambda: since)
        tail.read()
        tail.close()
