"""Access to the commands and arguments of a parser, from which the manual and the completion are made."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# argparse has no public access to its tree, but any documentation of a command line needs it.
# ruff: noqa: SLF001


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each direct subcommand that `--help` lists: its short help, and its parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for entry in action._get_subactions():
                if entry.help != argparse.SUPPRESS:
                    yield entry.help or "", action.choices[entry.dest]


def all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and the parsers of all its subcommands, in the order of `--help`."""
    yield parser
    for _, subparser in subcommands(parser):
        yield from all_parsers(subparser)


def arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield each option and positional argument that `--help` explains, without subcommands."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS:
            yield action


def explanation(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help of an argument, as `--help` shows it."""
    return (action.help or "") % {**vars(action), "prog": parser.prog}
