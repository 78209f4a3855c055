"""What the journal's lines say of the receiver, and of what they do not show; for all who read them."""

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
    """Make the parser that a receiver's settings ask for."""
    return LogParser(settings.response, settings.unstamped_marker, settings.unstamped_host)


def share_of(parser: LogParser, missed_before: int, observations: Sequence[LogObservation]) -> Share:
    """Return how much was understood of some lines.

    Args:
        parser: What read them, and nothing after them.
        missed_before: How many lines it had missed before.
        observations: What it found in them.

    """
    understood, missed = len(observations), parser.missed - missed_before
    in_a_row = min(missed, parser.missed_in_a_row)
    return Share(understood + missed, understood, in_a_row, observations[-1].at if observations else None)


def lost_behind_broken(parser: LogParser, rest: bytes, at: Instant) -> list[Instant]:
    """Return the instant of what was left out as the rest of a broken line if it reads like a line of its own."""
    return [at] if rest and parser.parse(rest, at)[0] else []
