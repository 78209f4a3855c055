"""The options that several commands share, and the message about a configuration that cannot be used."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fleet_health.config.locations import DEFAULT_PATH
from fleet_health.config.values import LONGEST, duration
from fleet_health.errors import printable
from fleet_health.model.subject import subject_glob
from fleet_health.parsing.timestamp import TimeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.errors import ConfigError
    from fleet_health.model.instant import Instant

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name

EXIT_CONFIG = 2
"""The exit status for a configuration that cannot be used. The unit file relies on it."""


EXIT_BLIND = 3
"""The exit status if the service is blind or has gaps, or would with a configuration."""


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and `--log-level`."""
    from fleet_health.service.logging import LEVELS  # noqa: PLC0415 - slow to import, and few commands log

    add_config_option(parser)
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="what to log on stderr (default: info)")


def add_config_option(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Add `--config`. With the default `argparse.SUPPRESS`, an option before an action stays in effect."""
    parser.add_argument(
        "--config",
        type=Path,
        default=default,
        metavar="FILE",
        help=f"the configuration; by default {DEFAULT_PATH}, or all defaults if that does not exist",
    )


def add_config_file(parser: argparse.ArgumentParser) -> None:
    """Add a positional argument for the configuration, as an alternative to `--config`."""
    parser.add_argument("config_file", nargs="?", type=Path, metavar="FILE", help="the same as --config FILE")


def config_path(options: argparse.Namespace) -> Path | None:
    """Return the configuration file to read; None for all defaults."""
    chosen: Path | None = options.config or getattr(options, "config_file", None)
    if chosen is None and DEFAULT_PATH.exists():
        return DEFAULT_PATH
    return chosen


def refuse(error: ConfigError) -> int:
    """Print every problem of a configuration, and return the exit status."""
    for problem in error.problems:
        print(f"{error.path}: {problem}", file=sys.stderr)  # noqa: T201
    return EXIT_CONFIG


def length(at_least: str, at_most: str = LONGEST) -> Callable[[str], int]:
    """Return a function that parses a duration to microseconds, for argparse."""
    read = duration(at_least=at_least, at_most=at_most)

    def read_argument(text: str) -> int:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}, found {text!r}") from None

    return read_argument


def host_glob(text: str) -> str:
    """Parse a host name or a glob, for argparse. Return it in the form of known host names."""
    if not text or not is_utf8(text):
        raise argparse.ArgumentTypeError(f"expected a host name or a glob in UTF-8, found '{printable(text)}'")
    return subject_glob(text)


def is_utf8(text: str) -> bool:
    """Return whether an argument was UTF-8. Other bytes are in the text as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def instant(text: str) -> Instant:
    """Parse a time in the past, for argparse."""
    return _when(text, is_ahead=False)


def coming_instant(text: str) -> Instant:
    """Parse a time in the future, for argparse. A duration counts from now."""
    return _when(text, is_ahead=True)


def _when(text: str, *, is_ahead: bool) -> Instant:
    from fleet_health.cli.when import FORMS, FORMS_AHEAD, parse_when  # noqa: PLC0415 - few commands take a time

    try:
        return parse_when(text, time.time_ns() // 1_000, is_ahead=is_ahead)
    except TimeError as error:
        expected = FORMS_AHEAD if is_ahead else FORMS
        raise argparse.ArgumentTypeError(f"expected {expected}, found {printable(repr(text))}: {error}") from None
