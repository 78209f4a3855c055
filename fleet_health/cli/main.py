"""The command line: which commands there are. Each is a module of its own, with `add_parser`."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXIT_PIPE, _EXIT_INTERRUPT = 128 + signal.SIGPIPE, 128 + signal.SIGINT
# What write(2) fails with if the disk behind stdout is at fault. A file that is opened has a name; stdout has none, and
# the service prints nothing.
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))

COMMANDS = (
    "run",
    "status",
    "explain",
    "follow",
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
    """Parse the command line and run the command; return its exit status."""
    # The service must not carry what only other commands need, so the module of the command called is all we import.
    named = [command for command in COMMANDS if arguments[:1] == [command]]
    _have_streams()
    options = build_parser(named or COMMANDS).parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads us has seen enough
        _let_stdout_go()
        return _EXIT_PIPE
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None or named == ["run"]:
            raise
        _let_stdout_go()
        print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        return os.EX_IOERR
    except KeyboardInterrupt:  # so has who calls us
        return _EXIT_INTERRUPT
    return status


def _have_streams() -> None:
    """Let nothing fail for where it comes from or goes to: what is closed, or a terminal that lacks some letters."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for the rest of our life
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - likewise
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - likewise
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it already


def _let_stdout_go() -> None:
    """Drop what could not be written, or the interpreter would try it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Make the parser of the command line, with the commands given."""
    parser = argparse.ArgumentParser(
        prog="fleet-health",
        description="Knows which hosts of a fleet have stopped delivering, are refused every time, or run old code.",
    )
    parser.add_argument("--version", action="version", version=f"fleet-health {version('fleet-health')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        importlib.import_module(f"fleet_health.cli.commands.{command}").add_parser(subparsers)
    return parser
