"""Reads the sources once, to their present end, without an event loop: for commands that evaluate and end."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fleet_health.files.hang_watch import note_progress, touching
from fleet_health.model.clock_jumps import ClockJumps, joined
from fleet_health.model.coverage import BROKEN, CLOCKS_US, Coverage, Gap, Share, Understanding
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import Response, Upload
from fleet_health.model.row_dates import RowDates
from fleet_health.model.unit_states import UnitStates
from fleet_health.model.window import NEVER, REFUSED
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.sources.index.source import FUTURE, Extent, index_parser, index_tail
from fleet_health.sources.index.source import share_of as share_of_block
from fleet_health.sources.journal.lines import log_parser, lost_behind_broken
from fleet_health.sources.journal.lines import share_of as share_of_lines
from fleet_health.sources.journal.machines import in_time, opened
from fleet_health.sources.journal.system_messages import SUPPRESSED_WORD, suppressed_gap
from fleet_health.sources.state import no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fleet_health.config.schema import IndexSettings, JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.model.pauses import Skip
    from fleet_health.parsing.index_row import IndexParser
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection
    from fleet_health.sources.journal.reader import JournalReader


T = TypeVar("T")

STATES_BACK_US = 92 * 24 * HOUR_US
"""How far before the start of reading to look for an outage of the receiver, in microseconds."""

_BATCH = 10_000
# Reading this many entries takes about two seconds.
_MOST_ACCEPTED = 200_000
_FIRST_STRETCH_US = HOUR_US
_GAP_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class IndexPast:
    """What reading the index showed besides the uploads.

    Attributes:
        rejections: The rows that were rejected, by reason.
        coverage: Where the index begins, and how much of it was understood.
        unread: The rotated files that could not be read, or not to their end, each with the reason.

    """

    rejections: RejectionCount
    coverage: Coverage
    unread: dict[Path, str]


@dataclass(frozen=True, slots=True)
class JournalPast:
    """What reading the journal showed besides the observations.

    Attributes:
        rejections: The entries that were rejected, by reason.
        coverage: Where the journal begins, its gaps, how much of it was understood, and whether it has any entry of the
            receiver.
        last_at: The time of the last entry; without entries, the start of reading.
        first_at: The time of the first entry; None if there is none.
        count: How many entries were read.
        skips: The stretches over which the clock was set ahead.

    """

    rejections: RejectionCount
    coverage: Coverage
    last_at: Instant
    first_at: Instant | None = None
    count: int = 0
    skips: tuple[Skip, ...] = ()


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
            share = share.followed_by(share_of_block(parser, lines, rows, rejected, count))
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
    """Record which rows of a block were understood; go row by row only if some were rejected."""
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


def read_journal(
    settings: JournalSettings,
    since: Instant,
    until: Instant,
    deliver: Callable[[Iterable[LogObservation | UnitState]], None],
    states_since: Instant | None = None,
) -> JournalPast:
    """Deliver the states of the receiver's units, then the observations with `since <= t <= until`.

    The states begin with the one at `states_since`, or at `since` if that is None, and continue to `until`.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read; the entries before the error have been delivered.

    """
    parser, rejections, gaps = log_parser(settings), RejectionCount(), list[Gap]()
    parse_into = parser.parse_into
    observations: list[LogObservation] = []
    rejected: list[Rejection] = []
    behind_broken: list[Instant] = []
    share, missed_before, understanding = Share(), 0, Understanding()
    seen = _Seen(since)

    def hand_on() -> None:
        nonlocal share, missed_before
        share = share.followed_by(share_of_lines(parser, missed_before, observations))
        missed_before = parser.missed
        deliver(observations)
        observations.clear()
        rejections.add(rejected)
        rejected.clear()

    try:
        with touching(_place_of(settings)), opened(settings) as journal:
            readers = journal.readers
            gaps += [gap for gap in journal.left_out if gap.overlaps(since, until)]
            oldest_at = journal.oldest_at
            for reader in readers:
                reader.find_instances(since)
            deliver(states := _unit_states(readers, since if states_since is None else states_since, until))
            is_void = not states and not any(reader.has_lines() for reader in readers)
            jumps = _Jumps(readers, since)
            for reader in readers:
                reader.seek(since)
            last_of_each = dict.fromkeys(readers, since)
            for reader, message, at in _with_progress(journal.read()):
                if not since <= at <= until:
                    continue
                seen.note(at)
                jumps.look(reader, at)
                if message is None:
                    rejected.append(reader.unread)
                    behind_broken += lost_behind_broken(parser, reader.rest, at)
                    continue
                if message.startswith(SUPPRESSED_WORD) and reader.is_of_journald():
                    if (gap := suppressed_gap(settings, message, last_of_each[reader], at)) is not None:
                        gaps.append(gap)
                else:
                    missed, count = parser.missed, len(observations)
                    parse_into(observations, rejected, message, at)
                    understanding.take(at, is_missed=parser.missed > missed, is_understood=len(observations) > count)
                    if len(observations) >= _BATCH:
                        hand_on()
                last_of_each[reader] = at
    finally:
        hand_on()  # also the entries before an error
    last_at = max(last_of_each.values(), default=since)
    coverage = Coverage(
        "journal",
        gaps=(*gaps, *_behind_broken(behind_broken)),
        begins_at=NEVER if oldest_at is None else oldest_at,
        share=share,
        void_since=since if is_void else None,
        quiet_since=last_at,
        misses=tuple(understanding.misses),
        quiet=tuple(seen.quiet),
        read_since=since,
    )
    return JournalPast(rejections, coverage, last_at, seen.first_at, seen.count, jumps.skips())


class _Seen:
    """Counts entries in order of time, and records long stretches without any.

    Attributes:
        first_at: The time of the first entry; None before there is one.
        count: How many entries there were.
        quiet: The stretches without an entry that are longer than the clocks of journal and index may differ.

    """

    def __init__(self, since: Instant) -> None:
        self.first_at: Instant | None = None
        self.count = 0
        self.quiet: list[tuple[Instant, Instant]] = []
        self._newest_at = since

    def note(self, at: Instant) -> None:
        """Record an entry."""
        self.first_at = at if self.first_at is None else self.first_at
        self.count += 1
        if at - self._newest_at > CLOCKS_US:
            self.quiet.append((self._newest_at, at))
        self._newest_at = max(self._newest_at, at)


class _Jumps:
    """Detects when the clock of each machine was set, even just before the start of reading."""

    def __init__(self, readers: Iterable[JournalReader], since: Instant) -> None:
        self._of_each = {reader: ClockJumps() for reader in readers}
        for reader in self._of_each:
            if at := next((at for _, at in reader.read_back(since - 1)), 0):
                self.look(reader, at)

    def look(self, reader: JournalReader, at: Instant) -> None:
        """Look at the entry where a reader stands."""
        jumps = self._of_each[reader]
        if jumps.is_worth_a_look(at) and (monotonic := reader.monotonic()) is not None:
            jumps.look(at, *monotonic)

    def skips(self) -> tuple[Skip, ...]:
        """Return over which time a clock was set ahead."""
        return joined((), (skip for one in self._of_each.values() for skip in one.skips))


def read_accepted(
    settings: JournalSettings, since: Instant, until: Instant, *, most: int = _MOST_ACCEPTED
) -> list[Response]:
    """Return the accepted uploads with `since <= t < until` that the journal shows, in order.

    They show hosts that have no row. A journal may have many times more entries than the index has rows, so the latest
    stretch is read first, and reading stops before the stretch that would exceed `most` entries.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    stretches: list[list[Response]] = []
    length, left = _FIRST_STRETCH_US, most
    while since < until:
        begin = max(since, until - length)
        accepted: list[Response] = []

        def keep(observations: Iterable[LogObservation | UnitState], accepted: list[Response] = accepted) -> None:
            accepted += [one for one in observations if type(one) is Response and one.status < REFUSED]

        past = read_journal(settings, begin, until - 1, keep, begin)
        stretches.append(accepted)
        if past.coverage.begins_at is not None and past.coverage.begins_at >= begin:
            break
        # A stretch twice as long has about twice as many entries.
        left -= past.count
        if past.count > left:
            break
        until, length = begin, length * 2 if 2 * past.count <= left else length
    return [one for accepted in reversed(stretches) for one in sorted(accepted, key=lambda one: one.at)]


def _unit_states(readers: Sequence[JournalReader], since: Instant, until: Instant) -> list[UnitState]:
    """Return the receiver's state at `since`, if it is known, and its changes up to `until`."""
    states = UnitStates()
    for message in in_time(reader.latest_unit_messages(since) for reader in readers):
        states.record(message)
    found = [] if states.latest is None else [states.latest]
    for reader in readers:
        states.expect(reader.active)
    messages = in_time(reader.unit_messages(since)[0] for reader in readers)
    changes = (states.record(message) for message in messages if since <= message.at <= until)
    return found + [state for state in changes if state is not None]


def _behind_broken(instants: Iterable[Instant]) -> list[Gap]:
    """Return gaps for lines that may be missing after broken ones: at most one a minute, as a client can cause many."""
    gaps: list[Gap] = []
    for at in instants:
        gap = Gap(at, at, BROKEN, 1)
        if gaps and at - gaps[-1].since < _GAP_US:
            gaps[-1] = gaps[-1].joined(gap)
        else:
            gaps.append(gap)
    return gaps


def allow_many_files() -> None:
    """Raise the limit of open files to its maximum: an index may have a rotated file for each hour."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def ensure_readable(index: IndexSettings, journal: JournalSettings, since: Instant) -> None:
    """Open and close both sources, so that a command fails before it has done a lot of work.

    Args:
        index: Where the index is.
        journal: Where the journal is.
        since: How far back both are to be read.

    Raises:
        SourceUnavailable: One of them is missing, or cannot be read.

    """
    with touching(index.path):
        tail = index_tail(index, index_parser(index), lambda: since)
        tail.read()
        tail.close()
    with touching(_place_of(journal)), opened(journal):
        pass


def unit_states(settings: JournalSettings, since: Instant, until: Instant) -> list[UnitState]:
    """Read the receiver's state at `since`, if it is known, and its changes up to `until`.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with touching(_place_of(settings)), opened(settings) as journal:
        for reader in journal.readers:
            reader.find_instances(since)
        return _unit_states(journal.readers, since, until)


def _with_progress(entries: Iterable[T]) -> Iterator[T]:
    """Yield the entries of a journal, and report progress to the hang watch."""
    for number, entry in enumerate(entries):
        if not number % _BATCH:
            note_progress()
        yield entry


def _place_of(settings: JournalSettings) -> Path:
    """Return the directory of a journal; for this machine's journal, the usual one of persistent files."""
    return settings.directory or Path("/var/log/journal")


def read_messages(settings: JournalSettings, since: Instant, until: Instant) -> Iterator[bytes]:
    """Yield the lines of the receiver's units with `since <= t <= until`, without journald's own messages about them.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with opened(settings) as journal:
        for reader in journal.readers:
            reader.find_instances(since)
            reader.seek(since)
        for reader, message, at in journal.read():
            if message is None or not since <= at <= until:
                continue
            if not (message.startswith(SUPPRESSED_WORD) and reader.is_of_journald()):
                yield message
