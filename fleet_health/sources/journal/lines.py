"""Parse the lines of a receiver in a journal, for following and for reading once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.coverage import Share
from fleet_health.parsing.receiver_log import LogParser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.parsing.receiver_log import LogObservation


def log_parser(settings: JournalSettings) -> LogParser:
    """Return the parser for a receiver's lines."""
    return LogParser(settings.response, settings.unstamped_marker, settings.unstamped_host)


def share_of(parser: LogParser, missed_before: int, observations: Sequence[LogObservation]) -> Share:
    """Return the share of some lines that was understood.

    Args:
        parser: The parser of the lines, which must not have parsed others since.
        missed_before: The number of missed lines of the parser before these.
        observations: The observations from these lines.

    """
    understood, missed = len(observations), parser.missed - missed_before
    in_a_row = min(missed, parser.missed_in_a_row)
    return Share(understood + missed, understood, in_a_row, observations[-1].at if observations else None)


def lost_behind_broken(parser: LogParser, rest: bytes, at: Instant) -> list[Instant]:
    """Return `[at]` if the omitted rest of a broken line parses as a line; else an empty list."""
    return [at] if rest and parser.parse(rest, at)[0] else []
