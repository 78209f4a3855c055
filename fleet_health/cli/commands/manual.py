"""Make the manual pages from the texts of `--help` and from the example configuration."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fleet_health import __version__
from fleet_health.cli.docs import configuration_manual, roff
from fleet_health.cli.docs.tree import all_parsers, arguments, explanation, subcommands
from fleet_health.cli.main import build_parser
from fleet_health.config.locations import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND_PAGE = "fleet-health.1"

EXAMPLES = (
    ("See the hosts in trouble, and follow them", "fleet-health status --watch"),
    (
        "Use the state of the fleet in a script: 0 means that all is well",
        "fleet-health status >/dev/null || echo trouble",
    ),
    ("Find out why a host is reported", "fleet-health explain pi-03"),
    (
        "Suppress the alerts of some hosts during maintenance",
        "fleet-health silence 'bench-*' --for 2h --reason 'moving the bench'",
    ),
    ("Find the receiver on this machine, and write the configuration", "fleet-health setup"),
    ("Try the patterns on the receiver's lines of the last day", "fleet-health patterns --since 1d"),
    ("See what the configuration would have reported in the last week", "fleet-health replay --since 7d"),
    ("See what another configuration would have reported", "fleet-health replay --since 7d --config new.toml"),
    ("See what a changed configuration would fire and resolve now, and apply it", "fleet-health reload"),
    ("Send a test message to each destination", "fleet-health notify test"),
    ("See what was sent about a host, and with which response", "fleet-health notify history pi-03"),
    ("Read the alerts of today, with an explanation of each", "journalctl -x -u fleet-health -p warning --since today"),
)
"""The examples, each a purpose and a command."""


def write_pages(example: Path, directory: Path) -> None:
    """Write both pages into a directory."""
    program = f"fleet-health {__version__}"
    pages = {
        COMMAND_PAGE: command_page(build_parser(), program),
        configuration_manual.PAGE: configuration_manual.configuration_page(example.read_text(), program),
    }
    for name, text in pages.items():
        (directory / name).write_text(text)


def command_page(parser: argparse.ArgumentParser, program: str) -> str:
    """Return the page of a command with all its subcommands. `program` is its name with the version."""
    description = parser.description or ""
    purpose = description[:1].lower() + description[1:].removesuffix(".")
    configuration = roff.reference("fleet-health-config", 5)
    body = [roff.section("NAME"), f"{roff.escape(parser.prog)} \\- {roff.prose(purpose)}", roff.section("SYNOPSIS")]
    ways = [way for each in all_parsers(parser) if _is_command(each) for way in _ways(each)]
    body += "\n.PP\n".join(ways).splitlines()
    body += [roff.section("DESCRIPTION"), roff.prose(description)]
    body += [roff.section("OPTIONS"), *_arguments(parser), roff.section("COMMANDS")]
    for short, subparser in subcommands(parser):
        body += _command(short, subparser)
    body += roff.examples({purpose: [line] for purpose, line in EXAMPLES})
    body += [
        roff.section("FILES"),
        *roff.item(roff.bold(str(DEFAULT_PATH)), f"The configuration; see {configuration}."),
    ]
    body += [roff.section("SEE ALSO"), f"{configuration}, {roff.reference('journalctl', 1)}"]
    return roff.page(parser.prog, 1, program, body)


def _is_command(parser: argparse.ArgumentParser) -> bool:
    """Return whether a parser is that of a command without subcommands."""
    return parser.get_default("command") is not None or not list(subcommands(parser))


def _ways(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield each usage of a command. argparse breaks lines, but each usage begins with the command."""
    _, _, text = " ".join(parser.format_usage().split()).partition(": ")
    for way in text.split(parser.prog)[1:]:
        yield f"{roff.bold(parser.prog)}{roff.usage(way.rstrip())}"


def _command(short: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield roff.subsection(parser.prog)
    yield roff.prose(parser.description or f"{short[:1].upper()}{short[1:]}.")
    yield from _arguments(parser)
    if parser.epilog:
        yield from roff.paragraph(parser.epilog)
    for inner_short, subparser in subcommands(parser):
        yield from _command(inner_short, subparser)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in arguments(parser):
        tag = ", ".join(roff.bold(option) for option in action.option_strings)
        if value := _value(action):
            tag = f"{tag} {roff.usage(value)}".lstrip()
        yield from roff.item(tag, roff.prose(_explanation(parser, action)))


def _value(action: argparse.Action) -> str:
    """Return the placeholder for the value of an argument; empty for a switch."""
    if action.nargs == 0:
        return ""
    if action.metavar is None and action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    shown = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    return shown if isinstance(shown, str) else " ".join(shown)


def _explanation(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the explanation of an argument, with its choices and its default unless it names them."""
    said = explanation(parser, action)
    choices = [] if action.metavar is None else list(map(str, action.choices or ()))
    if not all(choice in said for choice in choices):
        said += f"; one of {', '.join(choices)}"
    has_default = action.nargs != 0 and action.default not in {None, argparse.SUPPRESS}
    return f"{said} (default: {action.default})" if has_default and "default" not in said else said
