"""Reading the sources once, to their present end, without an event loop: for who evaluates and is done."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import TYPE_CHECKING

from fleet_health.model.coverage import BROKEN, Gap
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.sources.index.source import index_parser, index_tail
from fleet_health.sources.journal.reader import JournalReader
from fleet_health.sources.journal.source import log_parser, lost_behind_broken
from fleet_health.sources.journal.system_messages import SystemMessages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from fleet_health.config.schema import IndexSettings, JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState, Upload
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection


STATES_BACK_US = 92 * 24 * HOUR_US
"""How far back from where reading begins an outage of the receiver is looked for."""

_BATCH = 10_000
_GAP_US = 60 * SECOND_US


def read_index(
    settings: IndexSettings, since: Instant, until: Instant, deliver: Callable[[Sequence[Upload]], None]
) -> tuple[RejectionCount, dict[Path, str]]:
    """Hand on the uploads of the index, and of what it was rotated to, from `since` on.

    Of several uploads of a host before `until` it may be only the latest; those after it are handed on, too, each.

    Returns:
        Which rows could not be read, by reason; and which rotated files could not be, or not to their end, and why.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """
    return _read_index(settings, since, deliver, lambda parser, lines: parser.parse_latest(lines, until)[:2])


def read_every_row(
    settings: IndexSettings, since: Instant, deliver: Callable[[Sequence[Upload]], None]
) -> tuple[RejectionCount, dict[Path, str]]:
    """Hand on every upload of the index, and of what it was rotated to, from `since` on, in the order of the rows.

    Returns:
        Which rows could not be read, by reason; and which rotated files could not be, or not to their end, and why.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """
    return _read_index(settings, since, deliver, IndexParser.parse_every)


def _read_index(
    settings: IndexSettings,
    since: Instant,
    deliver: Callable[[Sequence[Upload]], None],
    parse: Callable[[IndexParser, bytes], tuple[list[Upload], list[Rejection]]],
) -> tuple[RejectionCount, dict[Path, str]]:
    parser, rejections = index_parser(settings), RejectionCount()
    tail = index_tail(settings, parser, lambda: since)
    is_end = False
    while not is_end:
        block = tail.read()
        is_end = block.is_end
        # Nobody will come back for a last line that is not ended yet.
        rows, rejected = parse(parser, block.lines + (tail.rest() if is_end else b""))
        deliver([row for row in rows if row.at >= since])
        rejections.add(rejected + block.rejections)
    tail.close()
    return rejections, tail.unread


def read_journal(
    settings: JournalSettings,
    since: Instant,
    until: Instant,
    deliver: Callable[[Iterable[LogObservation | UnitState]], None],
    states_since: Instant | None = None,
) -> tuple[RejectionCount, list[Gap], Instant]:
    """Hand on what the journal's entries with `since <= t <= until` say, and before it systemd's words on the unit.

    These begin with how the unit was at `states_since`; without that it is the latest one before `since`.

    Returns:
        What could not be read, by reason; what the journal does not show; and its last entry, or `since`.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read; what came before that has been handed on.

    """
    parser, rejections, gaps = log_parser(settings), RejectionCount(), list[Gap]()
    parse_into = parser.parse_into
    system, last_at = SystemMessages(settings.unit), since
    observations: list[LogObservation | UnitState] = []
    rejected: list[Rejection] = []
    behind_broken: list[Instant] = []

    def hand_on() -> None:
        deliver(observations)
        observations.clear()
        rejections.add(rejected)
        rejected.clear()

    reader = JournalReader(settings)
    deliver(reader.unit_states(since if states_since is None else states_since, since))
    reader.seek(since)
    try:
        for message, at in reader.read():
            if not since <= at <= until:
                continue
            if message is None:
                rejected.append(reader.unread)
                behind_broken += lost_behind_broken(parser, reader.rest, at)
                continue
            if message.startswith(system.first_words) and (message_id := reader.system_message_id()):
                if (state := system.state(message_id, at)) is not None:
                    observations.append(state)
                elif (gap := system.gap(message_id, message, last_at, at)) is not None:
                    gaps.append(gap)
            else:
                parse_into(observations, rejected, message, at)
                if len(observations) >= _BATCH:
                    hand_on()
            last_at = at
    finally:
        hand_on()  # also what came before the reader failed
        reader.close()
    return rejections, gaps + _behind_broken(behind_broken), last_at


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
    JournalReader(journal).close()


def unit_states(settings: JournalSettings, since: Instant, until: Instant) -> list[UnitState]:
    """Look up systemd's words on the unit with `since <= t <= until`, and the latest before, in order.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    reader = JournalReader(settings)
    try:
        return reader.unit_states(since, until)
    finally:
        reader.close()


def oldest_entry_at(settings: JournalSettings) -> Instant | None:
    """Look up the journal's oldest entry of any unit; None if there is none.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    reader = JournalReader(settings)
    try:
        return reader.oldest_at()
    finally:
        reader.close()


def read_messages(settings: JournalSettings, since: Instant, until: Instant) -> Iterator[bytes]:
    """Return the messages of the unit with `since <= t <= until`, without those of systemd and journald about it.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    reader = JournalReader(settings)
    try:
        reader.seek(since)
        for message, at in reader.read():
            if message is not None and since <= at <= until and not reader.system_message_id():
                yield message
    finally:
        reader.close()
