"""The command line: which commands there are. Each is a module of its own, with `add_parser`."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXIT_PIPE, _EXIT_INTERRUPT = 128 + signal.SIGPIPE, 128 + signal.SIGINT

COMMANDS = (
    "run",
    "status",
    "explain",
    "check",
    "replay",
    "reload",
    "silence",
    "config",
    "patterns",
    "demo",
    "completion",
)


def run_command(arguments: list[str]) -> int:
    """Parse the command line and run the command; give its exit status."""
    # The service must not carry what only other commands need, so the module of the command called is all we import.
    named = [command for command in COMMANDS if arguments[:1] == [command]]
    options = build_parser(named or COMMANDS).parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_PIPE
    except KeyboardInterrupt:  # so has who calls us
        return _EXIT_INTERRUPT
    return status


def build_parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Make the parser of the command line, with the commands given."""
    parser = argparse.ArgumentParser(
        prog="fleet-health",
        description="Knows which hosts of a fleet have stopped delivering, are refused every time, or run old code.",
    )
    parser.add_argument("--version", action="version", version=f"fleet-health {version('fleet-health')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        importlib.import_module(f"fleet_health.cli.{command}").add_parser(subparsers)
    return parser
