"""`fleet-health silence`: suppress the alerts of some hosts for a limited time.

Modules that only a new silence needs are imported when they are used, so that listing silences is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from fleet_health.alerting.silences import (
    ACTIVE_LIMIT,
    LONGEST_US,
    REASON_LENGTH,
    TooManySilences,
    admitted,
    glob_problem,
)
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import (
    Subparsers,
    add_config_option,
    coming_instant,
    config_path,
    host_glob,
    is_utf8,
    length,
    refuse,
)
from fleet_health.config.locations import load_location
from fleet_health.errors import ConfigError, SinkUnavailable, printable
from fleet_health.model.instant import HOUR_US, SECOND_US, describe, isoformat
from fleet_health.parsing.local_time import local, localized
from fleet_health.records.silence_file import KEPT_DAYS, SilenceFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from fleet_health.alerting.silences import Silence
    from fleet_health.cli.client import NoResponseError
    from fleet_health.cli.silence_access import SilenceAccess
    from fleet_health.model.instant import Instant

VERSION = 1
"""The version of the document. Keys are only added to it."""

_EXIT_BROKEN, _EXIT_USAGE, _EXIT_NOT_ALLOWED = 1, 2, 5
_EXPIRE = frozenset({"expire", "end"})
"""The words that end silences. `end` is the word of an earlier release."""
_NAMED = 10
_WORDS = {
    "id": "a second word",
    "symptom": "--symptom",
    "starts_at": "--from",
    "length_us": "--for",
    "ends_at": "--until",
    "is_until_resolved": "--until-resolved",
    "reason": "--reason",
    "is_expired": "--expired",
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "silence",
        help=SUMMARIES["silence"],
        usage="%(prog)s HOST-GLOB [--symptom S] [--from TIME] (--for 2h | --until TIME) [--all] --reason TEXT\n"
        "       %(prog)s HOST-GLOB [--symptom S] --until-resolved [--for 7d | --until TIME] --reason TEXT\n"
        "       %(prog)s list [--expired] [--json]\n"
        "       %(prog)s expire ID|HOST-GLOB",
        description="Suppress the alerts of the hosts that match a glob (`*`, `?` and `[…]`). A silence takes effect at"
        " the next tick or at a later time (`--from`), survives restarts, and always expires. Incidents that are still"
        " open then are notified, and so are delayed resolutions of incidents that were notified before. With"
        " `--until-resolved`, the silence acknowledges the incidents that are open now: their repeats are suppressed,"
        " their resolutions are notified at once, and later incidents are notified as usual. It ends when the last of"
        " them is resolved, and after 30 days at the latest. `'*'` covers incidents of the fleet as a whole (such as"
        " receiver-down) only with `--symptom`, and so does `'*@NAME'` for one of several receivers. `expire` ends the"
        " silence with an ID, the silences of exactly this host, or those of every host and glob that a glob matches."
        " Write a host named `list`, `expire` or `end` as `[l]ist`, `[e]xpire` or `[e]nd`."
        f" At most {ACTIVE_LIMIT} silences are active or planned at a time. The service logs the begin and the end of"
        " each at priority NOTICE, with the users who made and ended it.",
        epilog="Exit status: 0 when it completed; 1 when the silences cannot be written or read; 2 for a wrong request;"
        " 5 when this user may not ask the service, or may not read the silences.",
    )
    add_config_option(parser)
    parser.add_argument(
        "what",
        type=host_glob,
        metavar="HOST-GLOB|list|expire",
        help="the hosts to silence; `list` to list the silences; `expire` to end some",
    )
    parser.add_argument("id", nargs="?", type=host_glob, metavar="ID|HOST-GLOB", help="the silences to end")
    parser.add_argument("--symptom", type=_symptom, choices=_Symptoms(), metavar="S", help="only this symptom")
    parser.add_argument(
        "--from",
        dest="starts_at",
        type=coming_instant,
        metavar="TIME",
        help="when to begin: 2h from now (2h), at 18:55, or at a date and time",
    )
    parser.add_argument("--for", dest="length_us", type=_length, metavar="2h", help="how long: 1m to 30d")
    parser.add_argument(
        "--until", dest="ends_at", type=coming_instant, metavar="TIME", help="when to end, likewise, instead of --for"
    )
    parser.add_argument(
        "--until-resolved",
        dest="is_until_resolved",
        action="store_true",
        help="acknowledge the open incidents until they are resolved, for at most 30 days or until --until",
    )
    parser.add_argument(
        "--all",
        dest="is_wide_meant",
        action="store_true",
        help="confirm a silence of most of the fleet for more than a day",
    )
    parser.add_argument(
        "--reason", type=_reason, metavar="TEXT", help=f"the reason: at most {REASON_LENGTH} characters"
    )
    parser.add_argument(
        "--expired",
        dest="is_expired",
        action="store_true",
        help=f"list the silences that ended within the last {KEPT_DAYS} days instead",
    )
    parser.add_argument("--json", action="store_true", help="list silences as one JSON document")
    parser.set_defaults(command=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """List, add or end silences, and return the exit status."""
    try:
        state_directory, control_path = (
            load_location(config_path(options), key) for key in ("state.directory", "control.path")
        )
    except ConfigError as error:
        return refuse(error)
    file = SilenceFile(state_directory)
    return _list(file, options) if options.what == "list" else _change(file, control_path, options)


def _change(file: SilenceFile, control_path: Path, options: argparse.Namespace) -> int:
    from fleet_health.api.requests import RequestError  # noqa: PLC0415 - a list needs none of these
    from fleet_health.cli.asking import EXIT_NOT_ALLOWED, forbidden  # noqa: PLC0415
    from fleet_health.cli.client import ForbiddenError, NoResponseError, RefusedError  # noqa: PLC0415
    from fleet_health.cli.silence_access import SilenceAccess  # noqa: PLC0415

    access = SilenceAccess(file, control_path)  # before root becomes another user
    try:
        return (_expire if options.what in _EXPIRE else _add)(access, options)
    except (RefusedError, RequestError, TooManySilences) as error:
        print(localized(str(error)), file=sys.stderr)  # noqa: T201
        return _EXIT_USAGE if getattr(error, "is_wrong", True) else _EXIT_BROKEN
    except ForbiddenError:
        print(forbidden(control_path), file=sys.stderr)  # noqa: T201
        return EXIT_NOT_ALLOWED
    except (SinkUnavailable, NoResponseError) as error:
        return _broken(error)


def _broken(error: SinkUnavailable | NoResponseError) -> int:
    print(f"the silences cannot be read or written: {error}{_advice(error)}", file=sys.stderr)  # noqa: T201
    return _EXIT_NOT_ALLOWED if isinstance(error.__cause__, PermissionError) else _EXIT_BROKEN


def _add(silences: SilenceAccess, options: argparse.Namespace) -> int:
    if options.id is not None:
        words = printable(f"{options.what} {options.id}")
        options.parser.error(f"expected one host, a glob in quotes, `list` or `expire`, found {words}")
    _refuse_more(options, "is_expired")
    has_end = options.is_until_resolved or options.length_us is not None or options.ends_at is not None
    missing = [
        name
        for name, is_given in (
            ("--for, --until or --until-resolved", has_end),
            ("--reason", options.reason is not None),
        )
        if not is_given
    ]
    if missing:
        options.parser.error(f"a silence needs an end and a reason: {' and '.join(missing)} missing")
    if options.length_us is not None and options.ends_at is not None:
        options.parser.error("--for and --until cannot be used together: give one end")
    if options.is_until_resolved and options.starts_at is not None:
        options.parser.error("--until-resolved and --from cannot be used together: it covers the incidents open now")
    if options.is_until_resolved and options.is_wide_meant:
        options.parser.error(
            "--until-resolved and --all cannot be used together: it covers only the incidents open now"
        )
    if problem := glob_problem(options.what):
        options.parser.error(f"{printable(options.what)}: {problem}")
    request = {
        "hosts": options.what,
        "symptom": options.symptom,
        "for_s": None if options.length_us is None else options.length_us / SECOND_US,
        "starts_at_wall": None if options.starts_at is None else isoformat(options.starts_at),
        "ends_at_wall": None if options.ends_at is None else isoformat(options.ends_at),
        "is_until_resolved": options.is_until_resolved,
        "reason": options.reason,
        "all": options.is_wide_meant,
    }
    silence, acknowledged = silences.add(request)
    _say(_line(silence, silence.starts_at if options.starts_at is None else _now()))
    if silence.is_until_resolved:
        named = ", ".join(f"{host} {symptom}" for host, symptom in acknowledged[:_NAMED])
        more = f" and {len(acknowledged) - _NAMED} more" if len(acknowledged) > _NAMED else ""
        _say(f"acknowledged: {named}{more}")
    return 0


def _list(file: SilenceFile, options: argparse.Namespace) -> int:
    _refuse_more(options, "id", "symptom", "starts_at", "length_us", "ends_at", "reason", "is_until_resolved")
    now = _now()
    try:
        known, problems = admitted(file.load(), now)
    except SinkUnavailable as error:
        return _broken(error)
    if problems:
        print(f"silences ignored by the service: {printable('; '.join(problems[:3]))}", file=sys.stderr)  # noqa: T201
    silences = [one for one in known if (one.ends_at <= now) == options.is_expired]
    # The next one to end comes first; among ended ones, the latest.
    silences.sort(key=lambda one: one.ends_at, reverse=options.is_expired)
    if options.json:
        document = {"version": VERSION, "silences": [one.row() for one in silences]}
        _say(msgspec.json.encode(document).decode())
    else:
        for one in silences:
            _say(_line(one, now))
        if not silences:
            _say(f"no silences have ended within the last {KEPT_DAYS} days" if options.is_expired else "no silences")
    return 0


def _expire(silences: SilenceAccess, options: argparse.Namespace) -> int:
    if options.id is None:
        options.parser.error(f"{options.what} needs the ID of a silence, or a host or glob; `silence list` shows them")
    _refuse_more(options, "symptom", "starts_at", "length_us", "ends_at", "reason", "is_until_resolved", "is_expired")
    for one in silences.end(options.id):
        _say(f"ended {_line(one, one.ends_at)}")
    return 0


def _advice(error: SinkUnavailable | NoResponseError) -> str:
    """Return a remedy for errors that contain none."""
    if not isinstance(error, SinkUnavailable) or not isinstance(error.__cause__, OSError):
        return ""
    if isinstance(error.__cause__, PermissionError) and os.geteuid() != 0:
        return "; run this as root, or in the group of the service"
    return "; check that `[state] directory` is a directory, and that its disk is neither full nor read-only"


def _line(silence: Silence, now: Instant) -> str:
    symptom = "" if silence.symptom is None else f" {silence.symptom}"
    return f"{silence.id}: {silence.hosts}{symptom} {_span(silence, now)}, by {silence.author}: {silence.reason}"


def _span(silence: Silence, now: Instant) -> str:
    """Return the begin and end of a silence, and how it ended."""
    start, end = (local(at) for at in (silence.starts_at, silence.ends_at))
    if silence.ends_at <= now:
        how = (
            "all resolved" if silence.is_resolved else f"ended by {silence.ended_by}" if silence.ended_by else "expired"
        )
        return f"from {start} until {end} ({how})"
    until = f"until resolved, at most until {end}" if silence.is_until_resolved else f"until {end}"
    if now < silence.starts_at:
        return f"from {start} {until} (begins in {describe(silence.starts_at - now)})"
    return f"{until} ({describe(silence.ends_at - now)} more)"


def _refuse_more(options: argparse.Namespace, *names: str) -> None:
    """Exit with an error if there are arguments that the command would ignore, because the user expects an effect."""
    given = [_WORDS[name] for name in names if getattr(options, name) not in {None, False}]
    if options.is_wide_meant and "length_us" in names:
        given.append("--all")
    if given:
        options.parser.error(f"{printable(options.what)}: {' and '.join(given)} cannot be used with it")


def _now() -> Instant:
    return time.time_ns() // 1000


def _symptoms() -> Collection[str]:
    from fleet_health.records.journal_sink import MESSAGE_IDS  # noqa: PLC0415

    return MESSAGE_IDS


class _Symptoms:
    """The symptoms as choices of an argument, imported only when they are needed."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_symptoms()))

    def __contains__(self, symptom: object) -> bool:
        return symptom in _symptoms()


def _symptom(text: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415

    if text in _symptoms():
        return text
    close = get_close_matches(text, _symptoms(), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise argparse.ArgumentTypeError(f"expected one of {', '.join(sorted(_symptoms()))}, found {text!r}{hint}")


def _length(text: str) -> int:
    return length("1m", f"{LONGEST_US // (24 * HOUR_US)}d")(text)


def _reason(text: str) -> str:
    if not text.strip() or len(text) > REASON_LENGTH:
        raise argparse.ArgumentTypeError(f"expected a text of at most {REASON_LENGTH} characters, found {len(text)}")
    if not is_utf8(text):
        raise argparse.ArgumentTypeError(f"expected UTF-8, found '{printable(text)}'")
    return text.strip()


def _say(line: str) -> None:
    print(printable(line))  # noqa: T201 - stdout is what this command is for
