"""The command line as argparse holds it: what the manual and the shells' completion are made from, as `--help` is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# argparse has no public access to its tree, but all documentation of a command line needs it.
# ruff: noqa: SLF001


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Return each direct subcommand that `--help` lists: in how many words, and its parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for entry in action._get_subactions():
                if entry.help != argparse.SUPPRESS:
                    yield entry.help or "", action.choices[entry.dest]


def all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Return a parser and those of all its subcommands, in the order of `--help`."""
    yield parser
    for _, subparser in subcommands(parser):
        yield from all_parsers(subparser)


def arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Return each option and positional argument that `--help` explains, subcommands left out."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS:
            yield action


def explanation(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help of an argument, as `--help` shows it."""
    return (action.help or "") % {**vars(action), "prog": parser.prog}
