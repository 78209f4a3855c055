"""Suggest a known word for an unknown word on the command line. Imported only after such an error."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from fleet_health.cli.docs.tree import arguments, subcommands

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence


def called(parser: argparse.ArgumentParser, words: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser of the command in some words, such as `notify status`; `parser` if there is none."""
    for word in words:
        parser = next((one for _, one in subcommands(parser) if one.prog.split()[-1] == word), parser)
    return parser


def nearest(parser: argparse.ArgumentParser, words: Sequence[str]) -> str | None:
    """Return the known word nearest to the first unknown word; None if no known word is similar.

    A word is unknown if it is an option or action that the command does not have, or not one of the choices of its
    option. Actions are returned with their command: `fleet-health status`.
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
