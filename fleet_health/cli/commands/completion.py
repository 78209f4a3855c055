"""`fleet-health completion`: what makes a shell complete the command line."""

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
        description="Print the script with which a shell completes this command line. bash reads it from its start"
        " file, zsh from a file `_fleet-health` in a directory of `$fpath`. The installer puts both in place.",
        epilog="Exit status: 0 when it was printed; 2 when a package that it needs is missing.",
    )
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print it; return the exit status."""
    if importlib.util.find_spec("shtab") is None:
        sys.stderr.write("the completion needs shtab, which is not installed: pip install 'fleet-health[completion]'\n")
        return _CANNOT_START
    sys.stdout.write(completion(build_parser(), options.shell))
    return 0


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Make the script for a shell. The parser is made ready for it, and good for nothing else afterwards."""
    # shtab is an extra that nothing but this command needs.
    import shtab  # noqa: PLC0415

    kinds: dict[str, Any] = {"FILE": shtab.FILE, "OLD": shtab.FILE, "DIR": shtab.DIRECTORY}
    for metavar, function in _FUNCTIONS.items():
        kinds[metavar] = {"bash": function, "zsh": function}
    for each in all_parsers(parser):
        for short, subparser in subcommands(each):
            # It would list commands with their whole descriptions.
            subparser.description = short
        for action in arguments(each):
            if action.metavar in kinds:
                _mark(action, kinds[str(action.metavar)])
            if "|" in str(action.metavar):
                # `HOST-GLOB|list|end` takes two words as they stand, beside what it stands for.
                action.choices = [word for word in str(action.metavar).split("|") if word.islower()]
    preamble = {"bash": shell_names.BASH, "zsh": shell_names.ZSH}[shell]
    return f"{shtab.complete(parser, shell, preamble=preamble)}\n"


def _mark(action: Any, kind: Any) -> None:
    """Return in shtab's way, an attribute that argparse knows nothing of, that an argument is a file."""
    action.complete = kind
