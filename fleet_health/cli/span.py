"""The options for the span of the past that a command evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.cli.options import instant
from fleet_health.parsing.local_time import local
from fleet_health.service import clock

if TYPE_CHECKING:
    import argparse

    from fleet_health.model.instant import Instant


def add_span_options(parser: argparse.ArgumentParser, since: str, description: str) -> None:
    """Add `--since` and `--until`.

    Args:
        parser: The parser of the command, which also reports errors.
        since: The default of `--since`.
        description: The help of `--since`.

    """
    parser.add_argument(
        "--since", type=instant, default=since, metavar="TIME", help=f"{description} (default: {since})"
    )
    parser.add_argument("--until", type=instant, metavar="TIME", help="the end, likewise (default: now)")
    parser.set_defaults(parser=parser)


def span(options: argparse.Namespace) -> tuple[Instant, Instant]:
    """Return the begin and the end of the span. Exit with an error if it is not in the past."""
    now = clock.now()
    since: Instant = options.since
    until: Instant = now if options.until is None else options.until
    if not since < until <= now:
        options.parser.error(
            "expected --since to be before --until, and --until not in the future,"
            f" found {local(since)} and {local(until)}; it is {local(now)}"
        )
    return since, until
