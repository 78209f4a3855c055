"""Finds what a user may have meant by a word that the command line does not know. Imported only after such an error."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from fleet_health.cli.docs.tree import arguments, subcommands

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence


def called(parser: argparse.ArgumentParser, words: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser of the command that words call, such as that of `notify status`; the given one for none."""
    for word in words:
        parser = next((one for _, one in subcommands(parser) if one.prog.split()[-1] == word), parser)
    return parser


def nearest(parser: argparse.ArgumentParser, words: Sequence[str]) -> str | None:
    """Return what is nearest to the first word that is unknown; None if there is nothing like it.

    Unknown is an option that the command called does not have, an action that it does not have, and a value that is
    not one of the choices of its option. Actions are returned with their command: `fleet-health status`.
    """
    command = called(parser, words)
    options = {name: one for one in arguments(command) for name in one.option_strings}
    actions = {one.prog.split()[-1]: one.prog for _, one in subcommands(command)}
    for before, word in zip(["", *words], words, strict=False):
        choices = options[before].choices if before in options else None
        if choices is not None:
            known = list(map(str, choices))
        elif word.startswith("-"):
            known = list(options)
        else:
            known = [*actions, *options] if actions else []
        name = word.partition("=")[0] if word.startswith("-") else word
        if name not in known and (close := get_close_matches(name, known, n=1)):
            return actions.get(close[0], close[0])
    return None
