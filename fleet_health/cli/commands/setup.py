"""`fleet-health setup`: find the receiver on this machine, and write a configuration for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import Subparsers, length
from fleet_health.config.locations import DEFAULT_PATH

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "setup",
        help=SUMMARIES["setup"],
        description="Find the receiver on this machine, and write a configuration for it. The journal shows which"
        " units, user units and containers write access lines of a known format; systemd and their processes show where"
        " the index may be. The command shows what the configuration would find, and writes no file before you agree."
        " The configuration contains only settings that differ from the defaults.",
        epilog="Exit status: 0 when the configuration was written or printed; 1 when no receiver was found, or you did"
        " not agree; 2 when the journal cannot be read, or the file cannot be written.",
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help=f"the file to write (default: {DEFAULT_PATH})"
    )
    parser.add_argument("--yes", action="store_true", help="ask no questions: use the best guess, and show it")
    parser.add_argument(
        "--replace", action="store_true", help="with `--yes`: also replace a file that contains settings"
    )
    parser.add_argument("--print", action="store_true", help="print the best guess on stdout, and write no file")
    parser.add_argument(
        "--since", type=length("1m"), default="7d", metavar="TIME", help="how much of the journal to read (default: 7d)"
    )
    parser.add_argument(
        "--journal-directory",
        type=Path,
        metavar="DIR",
        help="read the journal files in DIR instead of this machine's journal",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Search, ask and write, and return the exit status."""
    # Other commands do not need these modules.
    from fleet_health.cli.setup.dialogue import set_up  # noqa: PLC0415

    return set_up(options)
