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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXIT_PIPE, _EXIT_INTERRUPT = 128 + signal.SIGPIPE, 128 + signal.SIGINT
# What write(2) fails with if the disk behind stdout is at fault; nothing else in a command raises these without a path.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

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
    _prepare_stdout()
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads us has seen enough
        _let_stdout_go()
        return _EXIT_PIPE
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        _let_stdout_go()
        print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        return os.EX_IOERR
    except KeyboardInterrupt:  # so has who calls us
        return _EXIT_INTERRUPT
    return status


def _prepare_stdout() -> None:
    """See to it that everything can be printed: in any locale, and also if stdout is closed (`>&-`)."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the rest of our life
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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
        importlib.import_module(f"fleet_health.cli.{command}").add_parser(subparsers)
    return parser
