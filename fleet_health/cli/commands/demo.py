"""`fleet-health demo`: show a receiver, hosts and the service at work, on one screen."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.commands import SUMMARIES
from fleet_health.demo.journal import find_writer
from fleet_health.errors import FleetHealthError
from fleet_health.files.safe_files import SafeDirectory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_WENT_WRONG = 1
_CANNOT_START = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "demo",
        help=SUMMARIES["demo"],
        description="Show fleet-health at work within half a minute. This needs no root, and changes nothing on this"
        " machine.",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the files, in DIR, which must be new or empty")
    parser.add_argument("--seconds", type=float, default=0, metavar="N", help="run for at least N seconds")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo.

    Returns:
        0 when the three alerts came, 1 when they did not, 2 when a requirement is missing.

    """
    if missing := list(_missing()):
        return _complain("\n".join(missing), _CANNOT_START)
    try:
        with _directory(args.keep) as directory:
            return asyncio.run(_play(directory, seconds=args.seconds, kept=args.keep is not None))
    except _UnusableDirectoryError as error:
        return _complain(str(error), _CANNOT_START)
    except (FleetHealthError, OSError) as error:
        return _complain(str(error), _WENT_WRONG)


async def _play(directory: Path, *, seconds: float, kept: bool) -> int:
    # rich is an optional package for this command.
    from rich.console import Console  # noqa: PLC0415

    from fleet_health.demo.pieces import WIDEST  # noqa: PLC0415
    from fleet_health.demo.play import play  # noqa: PLC0415

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal with ASCII only gets a plainer picture instead of a traceback.
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, markup=False, force_terminal=sys.stdout.isatty())
    console.width = min(console.width, WIDEST)
    performance = asyncio.create_task(play(directory, console, seconds=seconds, kept=kept))
    interrupted_by: list[int] = []

    def interrupt(signal_number: int) -> None:
        interrupted_by.append(signal_number)
        performance.cancel()

    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signal_number, interrupt, signal_number)
    await asyncio.wait({performance})
    if performance.cancelled():
        return _complain("interrupted; all processes that it started have ended", 128 + interrupted_by[0])
    performance.result()
    return 0


class _UnusableDirectoryError(FleetHealthError):
    """The directory cannot be used, because its content could be mistaken for that of the demo."""


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="fleet-health-demo-", ignore_cleanup_errors=True) as directory:
            yield Path(directory)
        return
    keep.mkdir(parents=True, exist_ok=True)
    with SafeDirectory(keep) as directory:
        if directory.owner[0] != os.geteuid():
            raise _UnusableDirectoryError(f"{keep} belongs to another user; name a directory of your own with --keep")
    if any(keep.iterdir()):
        raise _UnusableDirectoryError(f"{keep} is not empty; name a new directory with --keep")
    yield keep.resolve()


def _missing() -> Iterator[str]:
    for package in ("rich", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            yield f"the demo needs {package}, which is not installed: pip install 'fleet-health[demo]'"
    if find_writer() is None:
        yield "the demo needs systemd-journal-remote, which is not installed: apt install systemd-journal-remote"


def _complain(message: str, status: int) -> int:
    sys.stderr.write(f"fleet-health demo: {message}\n")
    return status
