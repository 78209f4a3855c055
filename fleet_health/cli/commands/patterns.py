"""`fleet-health patterns`: try the patterns of the configuration on real lines of a receiver."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import Subparsers, add_config_option, config_path, instant, refuse
from fleet_health.cli.render.pattern_report import Report, as_json, as_lines
from fleet_health.cli.render.terminal import show, width
from fleet_health.config.loading import load
from fleet_health.errors import ConfigError, SourceRefused, SourceUnavailable, printable
from fleet_health.model.instant import HOUR_US
from fleet_health.parsing.receiver_log import MESSAGE_LIMIT
from fleet_health.service import clock
from fleet_health.sources.index.once import read_index
from fleet_health.sources.journal.once import read_messages

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from fleet_health.config.schema import IndexSettings
    from fleet_health.model.instant import Instant

_EXIT_NOTHING, _EXIT_USAGE = 1, 2
_STDIN = Path("-")
_INDEX_BACK_US = 24 * HOUR_US
_GZIP_MAGIC = b"\x1f\x8b"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "patterns",
        help=SUMMARIES["patterns"],
        description="Try `journal.response` and `journal.unstamped` on the receiver's journal, or on a file with its"
        " lines. This shows how often each pattern matches, which hosts and statuses it finds, how long it takes, and"
        " which lines match no pattern, with similar lines grouped. It warns of hosts that only one pattern finds, and"
        " of accepted hosts that are not in the index. For access lines of known servers, it also checks whether a"
        " client can forge a line that counts for another host. Use it to adapt the patterns to another receiver. It"
        " writes no file.",
        epilog="Exit status: 0 when a line matched; 1 when no line matched; 2 for an invalid configuration, or lines"
        " that cannot be read.",
    )
    add_config_option(parser)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a file of lines, - for standard input")
    parser.add_argument(
        "--since",
        type=instant,
        default="1h",
        metavar="TIME",
        help="read the journal since: how long ago (90m), `yesterday`, a date, or a date and time (default: 1h)",
    )
    parser.add_argument(
        "--receiver", metavar="NAME", help="use the patterns and journal of this one, if there are several receivers"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--no-pager", action="store_true", help="print all at once, also on a terminal")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Try the patterns, and return the exit status."""
    try:
        receivers = {one.name: one for one in load(config_path(options)).receivers}
    except ConfigError as error:
        return refuse(error)
    name = options.receiver or ("" if len(receivers) > 1 else next(iter(receivers)))
    if name not in receivers:
        expected = f"one of {', '.join(receivers)}" if any(receivers) else "none, because there is only one"
        print(f"--receiver: expected {expected}, found {printable(name) or 'nothing'}", file=sys.stderr)  # noqa: T201
        return _EXIT_USAGE
    settings = receivers[name].journal
    now = clock.now()
    report = Report(settings)
    try:
        if options.file is None:
            for message in read_messages(settings, options.since, now):
                report.add(message)
        else:
            for message in _lines(options.file):
                report.add(message)
    except (SourceUnavailable, OSError) as error:
        reason = f"{options.file}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        print(printable(reason), file=sys.stderr)  # noqa: T201
        return _EXIT_USAGE
    report.finish()
    report.index = _hosts_of_index(receivers[name].index, now)
    if options.json:
        print(json.dumps(as_json(report)))  # noqa: T201
    else:
        show(list(as_lines(report, width())), is_paged=not options.no_pager)
    return 0 if report.response.matches or report.unstamped.matches else _EXIT_NOTHING


def _hosts_of_index(settings: IndexSettings, now: Instant) -> tuple[Path, frozenset[str]] | None:
    """Return the index and its hosts of the last day; None if it cannot be read, as it may be on another machine."""
    hosts: set[str] = set()
    try:
        read_index(settings, now - _INDEX_BACK_US, now, lambda uploads: hosts.update(one.host for one in uploads))
    except SourceUnavailable:
        return None
    return settings.path, frozenset(hosts)


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, limited to the length of a journal message. Raise SourceRefused for a gzip file."""
    with sys.stdin.buffer if path == _STDIN else path.open("rb") as file:
        is_first = True
        while line := file.readline(MESSAGE_LIMIT):
            if is_first and line.startswith(_GZIP_MAGIC):  # as logrotate compresses older files
                raise SourceRefused(
                    f"{path}: expected lines of text, found a gzip file (zcat FILE | fleet-health patterns -)"
                )
            is_first = False
            yield line.rstrip(b"\r\n")
