"""The command line, which imports and runs the module of the called command."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import signal
import sys

from fleet_health import __version__
from fleet_health.cli.commands import SUMMARIES

TYPE_CHECKING = False  # importing typing would take a tenth of the time of `--help`
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from fleet_health.cli.options import Subparsers

_EXIT_USAGE, _EXIT_NAGIOS_UNKNOWN = 2, 3
_EXIT_PIPE, _EXIT_INTERRUPT = 128 + signal.SIGPIPE, 128 + signal.SIGINT
# The errors of write(2) if the disk of stdout is at fault. Errors of opened files have a name, and the service prints
# nothing.
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))


def run_command(arguments: list[str]) -> int:
    """Parse the command line, run the command, and return its exit status."""
    # Only the module of the called command is imported, and none to list the commands, so that each command starts
    # quickly and the service does not carry modules of other commands.
    named = [command for command in SUMMARIES if arguments[:1] == [command]]
    _have_streams()
    parser = build_parser(named) if named else _outline()
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            _refuse(parser, arguments, unknown)
    except SystemExit as stopped:
        if "--nagios" in arguments and stopped.code == _EXIT_USAGE:  # status 2 would mean critical
            print("FLEET UNKNOWN - wrong arguments; see `fleet-health status --help`")  # noqa: T201
            return _EXIT_NAGIOS_UNKNOWN
        if stopped.code == _EXIT_USAGE:
            _suggest(parser, arguments)
        raise
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has closed it
        _let_stdout_go()
        return _EXIT_PIPE
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None or named == ["run"]:
            raise
        _let_stdout_go()
        print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        return os.EX_IOERR
    except KeyboardInterrupt:  # the user interrupted the command
        return _EXIT_INTERRUPT
    return status


def _refuse(parser: argparse.ArgumentParser, arguments: list[str], unknown: list[str]) -> NoReturn:
    """End with the usage of the command that was called, and not of the whole program, as argparse does it."""
    from fleet_health.cli.near_words import called  # noqa: PLC0415 - see above

    called(parser, arguments).error(f"unrecognized arguments: {' '.join(unknown)}")


def _suggest(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Print what is nearest to an unknown word."""
    from fleet_health.cli.near_words import nearest  # noqa: PLC0415 - see above

    if found := nearest(parser, arguments):
        print(f"did you mean `{found}`?", file=sys.stderr)  # noqa: T201


def _have_streams() -> None:
    """Open closed streams, and escape characters that stdout cannot show, because both would cause errors later."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does by default


def _let_stdout_go() -> None:
    """Drop output that could not be written, because the interpreter would retry writing it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser(commands: Iterable[str] = SUMMARIES) -> argparse.ArgumentParser:
    """Return the parser of the command line with some commands."""
    parser, subparsers = _parser()
    for command in commands:
        importlib.import_module(f"fleet_health.cli.commands.{command.replace('-', '_')}").add_parser(subparsers)
    return parser


def _outline() -> argparse.ArgumentParser:
    """Return a parser that only lists the commands, without their arguments."""
    parser, subparsers = _parser()
    for command, summary in SUMMARIES.items():
        subparsers.add_parser(command, help=summary, add_help=False)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Return a formatter for the width of the terminal, without importing shutil as argparse does."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns)
    except (ValueError, OSError):
        columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)


def _parser() -> tuple[argparse.ArgumentParser, Subparsers]:
    parser = argparse.ArgumentParser(
        prog="fleet-health",
        description="Watches a fleet of hosts that upload, and alerts when one has stopped, is refused every time, or"
        " lacks its code stamp.",
        formatter_class=_formatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"fleet-health {__version__}", help="show the version and exit"
    )
    return parser, parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
