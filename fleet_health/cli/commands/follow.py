"""`fleet-health follow`: print notifications as they are sent."""

from __future__ import annotations

import json
import select
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.cli.asking import with_allowed_service
from fleet_health.cli.client import ForbiddenError, NoResponseError, connected, lines_of, send, target
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import Subparsers, add_config_option
from fleet_health.cli.render.terminal import BOLD, DIM, GREEN, RED, YELLOW, Paint, paint_for
from fleet_health.errors import printable
from fleet_health.parsing.local_time import local_wall, localized

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_RETRY_S = 1.0
_WORDS = {
    "opening": ("ALERT", (RED, BOLD)),
    "repeat": ("STILL", (RED,)),
    "resolution": ("RESOLVED", (GREEN,)),
    "lost": ("LOST", (DIM,)),
}
_EXIT_BROKEN = 1


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "follow",
        help=SUMMARIES["follow"],
        description="Print each notification of the running service as it is sent: alerts (ALERT), repeats (STILL),"
        " resolutions (RESOLVED), and hosts that are lost (LOST). It starts with the next notification, or after the"
        " one in --cursor-file. If the service restarts, the command waits for it and continues, without missing or"
        " repeating a notification of the last 24 hours.",
        epilog="Exit status: 0 when it was interrupted; 141 when the reader of its output has closed it; 1 when the"
        " cursor file cannot be read or written; 2 for a wrong request; 5 when this user may not ask the service.",
    )
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on a line for each notification")
    parser.add_argument(
        "--cursor-file",
        type=Path,
        metavar="FILE",
        help="start after the notification whose id is in the file, and save the id of the latest one there",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print notifications until interrupted, and return the exit status."""
    try:
        return with_allowed_service(options, partial(_follow, options=options))
    except KeyboardInterrupt:
        return 0
    except _OutputError as error:
        raise error.why from None
    except _CursorError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return _EXIT_BROKEN


class _OutputError(Exception):
    """Stdout cannot be written, as opposed to a failure of the connection.

    Attributes:
        why: The error.

    """

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


class _CursorError(Exception):
    """The cursor file cannot be read or written. `str()` is a message with the reason."""


def _follow(path: Path, options: argparse.Namespace) -> int:
    printer = _Printer(options)
    is_waiting = False
    while True:
        try:
            with connected(path) as connection:
                after = {} if printer.cursor is None else {"after": [printer.cursor]}
                send(connection, target("notifications", query=after))
                headers, lines = lines_of(connection, path, until=_is_output_closed)
                if printer.cursor is None:
                    printer.cursor = headers.get("fleet-health-last-id", "")
                if is_waiting:
                    print("following again", file=sys.stderr)  # noqa: T201
                    is_waiting = False
                for line in lines:
                    printer.take(line)
        except ForbiddenError:
            raise
        except NoResponseError as error:
            if not is_waiting:
                print(f"{error}; waiting for it", file=sys.stderr)  # noqa: T201
                is_waiting = True
        if _is_output_closed():
            raise BrokenPipeError
        time.sleep(_RETRY_S)


class _Printer:
    """Prints notifications, and keeps the id of the latest one."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.cursor: str | None = None
        self._file: Path | None = options.cursor_file
        self._is_json: bool = options.json
        self._paint = paint_for(sys.stdout)
        if self._file is not None:
            try:
                self.cursor = self._file.read_text(encoding="ascii").strip()
            except FileNotFoundError:
                pass
            except (OSError, UnicodeDecodeError) as error:
                raise _CursorError(f"{self._file}: the cursor cannot be read: {error}") from error

    def take(self, line: bytes) -> None:
        """Print a line of the stream unless it is empty, and save its cursor."""
        if not line.strip():
            return
        row = json.loads(line)
        text = line.decode().rstrip("\n") if self._is_json else _line(row, self._paint)
        try:
            print(text, flush=True)  # noqa: T201 - stdout is what this command is for
        except OSError as error:
            raise _OutputError(error) from error
        if "id" in row:
            self.cursor = row["id"]
            self._keep()

    def _keep(self) -> None:
        if self._file is None:
            return
        new = self._file.with_name(f".{self._file.name}.new")
        try:
            new.write_text(f"{self.cursor}\n", encoding="ascii")
            new.replace(self._file)
        except OSError as error:
            raise _CursorError(f"{self._file}: the cursor cannot be written: {error}") from error


def _line(row: Mapping[str, Any], paint: Paint) -> str:
    if row["kind"] == "missed":
        return paint(f"{row['count']} notifications were missed, because they are too old", YELLOW)
    word, colours = _WORDS.get(row["kind"], (row["kind"].upper(), ()))
    at, detail = local_wall(row["detected_at_wall"]), localized(printable(row["detail"]))
    return f"{at} {paint(f'{word:8}', *colours)} {printable(row['host'])} {row['symptom']}: {detail}"


def _is_output_closed() -> bool:
    """Return whether the reader of stdout, a pipe or a socket, has closed it."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
