"""Reading the sources once, to their present end, without an event loop: for who evaluates and is done."""

from __future__ import annotations

import heapq
import resource
from contextlib import suppress
from typing import TYPE_CHECKING

from fleet_health.model.coverage import BROKEN, Gap
from fleet_health.model.instant import SECOND_US
from fleet_health.model.row_dates import RowDates
from fleet_health.model.unit_states import UnitStates
from fleet_health.model.window import NEVER
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.sources.index.source import FUTURE, index_parser, index_tail
from fleet_health.sources.journal.machines import every_reader
from fleet_health.sources.journal.source import log_parser, lost_behind_broken
from fleet_health.sources.journal.system_messages import SUPPRESSED_WORD, suppressed_gap
from fleet_health.sources.state import no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from fleet_health.config.schema import IndexSettings, JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState, Upload
    from fleet_health.model.unit_states import UnitMessage
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection
    from fleet_health.sources.journal.reader import JournalReader


_BATCH = 10_000
_GAP_US = 60 * SECOND_US


def read_index(
    settings: IndexSettings,
    since: Instant,
    until: Instant,
    deliver: Callable[[Sequence[Upload]], None],
    *,
    now: Instant | None = None,
    dates: RowDates | None = None,
) -> tuple[RejectionCount, dict[Path, str]]:
    """Hand on the uploads of the index, and of what it was rotated to, that count at `since` or later.

    Of several uploads of a host before `until` it may be only the latest; those after it are handed on, too, each.

    Args:
        settings: Where the index is, and how a row is read.
        since: How far back to begin.
        until: The instant that matters.
        deliver: Takes the uploads.
        now: The present, by which rows are dated ahead; `until` if it is not given.
        dates: Dates the rows; None if no row is known to have been dated ahead.

    Returns:
        Which rows could not be read, by reason; and which rotated files could not be, or not to their end, and why.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """
    dates = dates or RowDates()
    plain_until = min(until, dates.plain_until)

    def parse(parser: IndexParser, lines: bytes) -> tuple[list[Upload], list[Rejection]]:
        return parser.parse_latest(lines, plain_until)[:2]

    return _read_index(settings, since, deliver, parse, now=until if now is None else now, dates=dates)


def read_every_row(
    settings: IndexSettings,
    since: Instant,
    deliver: Callable[[Sequence[Upload]], None],
    *,
    now: Instant = NEVER,
    dates: RowDates | None = None,
) -> tuple[RejectionCount, dict[Path, str]]:
    """Hand on every upload of the index, and of what it was rotated to, in the order of the rows.

    Args:
        settings: Where the index is, and how a row is read.
        since: How far back to begin; an upload must count then or later.
        deliver: Takes the uploads.
        now: The present, by which rows are dated ahead.
        dates: Dates the rows; None if no row is known to have been dated ahead.

    Returns:
        Which rows could not be read, by reason; and which rotated files could not be, or not to their end, and why.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """
    return _read_index(settings, since, deliver, IndexParser.parse_every, now=now, dates=dates or RowDates())


def _read_index(
    settings: IndexSettings,
    since: Instant,
    deliver: Callable[[Sequence[Upload]], None],
    parse: Callable[[IndexParser, bytes], tuple[list[Upload], list[Rejection]]],
    *,
    now: Instant,
    dates: RowDates,
) -> tuple[RejectionCount, dict[Path, str]]:
    parser, rejections = index_parser(settings), RejectionCount()
    tail = index_tail(settings, parser, lambda: since)
    is_end = False
    while not is_end:
        block = tail.read()
        is_end = block.is_end
        # Nobody will come back for a last line that is not ended yet.
        rows, rejected = parse(parser, block.lines + (tail.rest() if is_end else b""))
        uploads, ahead = dates.date(rows, now, written_at=no_later_than_written(NEVER, settings.path), is_end=is_end)
        deliver([upload for upload in uploads if upload.at >= since])
        rejections.add(rejected + block.rejections + [FUTURE] * ahead)
    tail.close()
    return rejections, tail.unread


def read_journal(
    settings: JournalSettings,
    since: Instant,
    until: Instant,
    deliver: Callable[[Iterable[LogObservation | UnitState]], None],
) -> tuple[RejectionCount, list[Gap], Instant]:
    """Hand on what the journal's entries with `since <= t <= until` say, and before it systemd's latest word till then.

    Returns:
        What could not be read, by reason; what the journal does not show; and its last entry, or `since`.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read; what came before that has been handed on.

    """
    parser, rejections, gaps = log_parser(settings), RejectionCount(), list[Gap]()
    parse_into = parser.parse_into
    newest_at = since
    observations: list[LogObservation] = []
    rejected: list[Rejection] = []
    behind_broken: list[Instant] = []

    def hand_on() -> None:
        deliver(observations)
        observations.clear()
        rejections.add(rejected)
        rejected.clear()

    try:
        with every_reader(settings) as readers:
            for reader in readers:
                reader.find_instances(since)
            deliver(_unit_states(readers, since, until))
            for reader in readers:
                last_at = since
                reader.seek(since)
                for message, at in reader.read():
                    if not since <= at <= until:
                        continue
                    if message is None:
                        rejected.append(reader.unread)
                        behind_broken += lost_behind_broken(parser, reader.rest, at)
                        continue
                    if message.startswith(SUPPRESSED_WORD) and reader.is_of_journald():
                        if (gap := suppressed_gap(settings, message, last_at, at)) is not None:
                            gaps.append(gap)
                    else:
                        parse_into(observations, rejected, message, at)
                        if len(observations) >= _BATCH:
                            hand_on()
                    last_at = at
                newest_at = max(newest_at, last_at)
    finally:
        hand_on()  # also what came before the reader failed
    return rejections, gaps + _behind_broken(sorted(behind_broken)), newest_at


def _unit_states(readers: Sequence[JournalReader], since: Instant, until: Instant) -> list[UnitState]:
    """Return the receiver's state at an instant, if it is known, and its changes from then on to another one."""
    states = UnitStates()
    for message in _in_time(reader.latest_unit_messages(since) for reader in readers):
        states.record(message)
    found = [] if states.latest is None else [states.latest]
    for reader in readers:
        states.expect(reader.active)
    messages = _in_time(reader.unit_messages(since)[0] for reader in readers)
    changes = (states.record(message) for message in messages if since <= message.at <= until)
    return found + [state for state in changes if state is not None]


def _in_time(messages: Iterable[Iterable[UnitMessage]]) -> Iterator[UnitMessage]:
    """Return the messages of several machines by time; those of one are left in their order."""
    return heapq.merge(*messages, key=lambda message: message.at)


def _behind_broken(instants: Iterable[Instant]) -> list[Gap]:
    """Make gaps of the lines that may be missing behind broken ones: a client can make many, so one a minute."""
    gaps: list[Gap] = []
    for at in instants:
        gap = Gap(at, at, BROKEN, 1)
        if gaps and at - gaps[-1].since < _GAP_US:
            gaps[-1] = gaps[-1].joined(gap)
        else:
            gaps.append(gap)
    return gaps


def allow_many_files() -> None:
    """Let this process have as many files open as it may: an index has a rotated file for each hour, perhaps."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def ensure_readable(index: IndexSettings, journal: JournalSettings, since: Instant) -> None:
    """Open both sources, and no more: for who would otherwise find out only after a lot of work.

    Args:
        index: Where the index is.
        journal: Where the journal is.
        since: How far back both are to be read.

    Raises:
        SourceUnavailable: One of them is missing, or cannot be read.

    """
    tail = index_tail(index, index_parser(index), lambda: since)
    tail.read()
    tail.close()
    with every_reader(journal):
        pass


def oldest_entry_at(settings: JournalSettings) -> Instant | None:
    """Look up the journal's oldest entry of any unit; None if there is none.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with every_reader(settings) as readers:
        return min((at for reader in readers if (at := reader.oldest_at()) is not None), default=None)


def read_messages(settings: JournalSettings, since: Instant, until: Instant) -> Iterator[bytes]:
    """Return the lines of the receiver's units with `since <= t <= until`, without those of journald about them.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with every_reader(settings) as readers:
        for reader in readers:
            reader.find_instances(since)
            reader.seek(since)
            for message, at in reader.read():
                if message is None or not since <= at <= until:
                    continue
                if not (message.startswith(SUPPRESSED_WORD) and reader.is_of_journald()):
                    yield message
