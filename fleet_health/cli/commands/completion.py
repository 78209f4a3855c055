"""`fleet-health completion`: print the completion script of a shell."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.docs import shell_names
from fleet_health.cli.docs.tree import all_parsers, arguments, subcommands
from fleet_health.cli.main import build_parser

if TYPE_CHECKING:
    import argparse

    from fleet_health.cli.options import Subparsers

_CANNOT_START = 2
_FUNCTIONS = {
    "HOST": shell_names.HOSTS,
    "HOST|FILE": shell_names.HOSTS,
    "HOST-GLOB": shell_names.HOSTS,
    "HOST-GLOB|list|expire": shell_names.SILENCED,
    "ID|HOST-GLOB": shell_names.SILENCES,
}
"""Name of an argument -> the shell function that completes it."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "completion",
        help=SUMMARIES["completion"],
        description="Print the completion script of a shell. Load it in the startup file of bash, or save it for zsh as"
        " `_fleet-health` in a directory of `$fpath`. The installer does both.",
        epilog="Exit status: 0 when it was printed; 2 when a required package is missing.",
    )
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print the script, and return the exit status."""
    if importlib.util.find_spec("shtab") is None:
        sys.stderr.write("the completion needs shtab, which is not installed: pip install 'fleet-health[completion]'\n")
        return _CANNOT_START
    sys.stdout.write(completion(build_parser(), options.shell))
    return 0


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell. The parser is changed, and must not be used afterwards."""
    # shtab is an optional package for this command.
    import shtab  # noqa: PLC0415

    kinds: dict[str, Any] = {"FILE": shtab.FILE, "OLD": shtab.FILE, "DIR": shtab.DIRECTORY}
    for metavar, function in _FUNCTIONS.items():
        kinds[metavar] = {"bash": function, "zsh": function}
    for each in all_parsers(parser):
        for short, subparser in subcommands(each):
            # shtab would list commands with their complete descriptions.
            subparser.description = short
        for action in arguments(each):
            if action.metavar in kinds:
                _mark(action, kinds[str(action.metavar)])
            if "|" in str(action.metavar):
                # `HOST-GLOB|list|end` stands for a glob or one of two literal words.
                action.choices = [word for word in str(action.metavar).split("|") if word.islower()]
    preamble = {"bash": shell_names.BASH, "zsh": shell_names.ZSH}[shell]
    return f"{shtab.complete(parser, shell, preamble=preamble)}\n"


def _mark(action: Any, kind: Any) -> None:
    """Mark an argument as a file or a name, by the attribute that shtab reads."""
    action.complete = kind
