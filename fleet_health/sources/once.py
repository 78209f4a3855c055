"""Reading the sources once, to their present end, without an event loop: for who judges and is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.parsing.rejection import RejectionCount
from fleet_health.sources.index import index_parser, index_tail
from fleet_health.sources.journal import log_parser
from fleet_health.sources.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fleet_health.config.schema import IndexSettings, JournalSettings
    from fleet_health.domain.instant import Instant
    from fleet_health.domain.observation import Ship, UnitState
    from fleet_health.parsing.receiver_log import LogObservation


def read_index(
    settings: IndexSettings, since: Instant, until: Instant, deliver: Callable[[Sequence[Ship]], None]
) -> RejectionCount:
    """Hand on the ships of the index, and of what it was rotated to, from `since` on.

    Of several ships of a host before `until` it may be only the latest; those after it are handed on, too, each.

    Returns:
        What could not be read, by reason.

    Raises:
        SourceUnavailable: The index is missing, or cannot be read.

    """
    parser, rejections = index_parser(settings), RejectionCount()
    tail = index_tail(settings.path, parser, lambda: since)
    is_end = False
    while not is_end:
        block = tail.read()
        is_end = block.is_end
        # Nobody will come back for a last line that is not ended yet.
        rows, rejected, _ = parser.parse_latest(block.lines + (tail.rest() if is_end else b""), until)
        deliver([row for row in rows if row.at >= since])
        rejections.add(rejected)
    tail.close()
    return rejections


def read_journal(
    settings: JournalSettings,
    since: Instant,
    until: Instant,
    deliver: Callable[[Iterable[LogObservation | UnitState]], None],
) -> RejectionCount:
    """Hand on what the journal's entries with `since <= t <= until` say.

    Returns:
        What could not be read, by reason.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read; what came before that has been handed on.

    """
    parser, rejections = log_parser(settings), RejectionCount()
    reader = JournalReader(settings)
    if (state := reader.latest_unit_state(until)) is not None:
        deliver([state])
    reader.seek(since)
    for message, at in reader.read():
        if message is not None and since <= at <= until:
            observations, rejected = parser.parse(message, at)
            deliver(observations)
            rejections.add(rejected)
    reader.close()
    return rejections
