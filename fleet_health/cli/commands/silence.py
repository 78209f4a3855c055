"""`fleet-health silence`: not to be notified of some hosts for a while."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec

from fleet_health.alerting.silences import (
    ACTIVE_LIMIT,
    LONGEST_US,
    NAME_LENGTH,
    REASON_LENGTH,
    WIDE_LONGEST_US,
    Silence,
    TooManySilences,
    admitted,
    breadth_problem,
    glob_problem,
)
from fleet_health.api.silence_requests import BREADTH_ADVICE, user_name
from fleet_health.cli.client import NoAnswerError, RefusedError, ask, target
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import Subparsers, add_config_option, config_path, host_glob, is_utf8, length, refuse
from fleet_health.cli.privileges import become_owner_of
from fleet_health.config.locations import load_location
from fleet_health.errors import ConfigError, SinkUnavailable, printable
from fleet_health.model.host_globs import is_plain
from fleet_health.model.instant import HOUR_US, SECOND_US, describe, isoformat
from fleet_health.records.journal_sink import MESSAGE_IDS
from fleet_health.records.silence_file import SilenceFile, silence_of
from fleet_health.service import clock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fleet_health.model.instant import Instant

VERSION = 1
"""The version of the document; keys are only ever added to it."""

_EXIT_BROKEN, _EXIT_USAGE = 1, 2


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "silence",
        help=SUMMARIES["silence"],
        usage="%(prog)s HOST-GLOB [--symptom S] --for 2h [--all] --reason TEXT\n"
        "       %(prog)s list [--json]\n"
        "       %(prog)s end ID",
        description="Suppress the alerts of the hosts that match a glob (`*`, `?` and `[…]`). A silence takes effect at"
        " the next tick, survives restarts, and always expires; incidents that are still open are notified then."
        " Resolutions are notified all the same. `'*'` silences alerts about the fleet as a whole (such as"
        " receiver-down) only if it names their symptom; so does `'*@NAME'`, for one of several receivers. A host"
        " called `list` or `end` is written `[l]ist` or `[e]nd`."
        f" At most {ACTIVE_LIMIT} silences are active at a time. The service logs the begin and the end of each at"
        " priority NOTICE, with its author.",
        epilog="Exit status: 0 when it was done; 1 when the silences cannot be written or read; 2 for a wrong request.",
    )
    add_config_option(parser)
    parser.add_argument(
        "what", type=host_glob, metavar="HOST-GLOB|list|end", help="the hosts; or list the silences; or end one"
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="the silence to end")
    parser.add_argument("--symptom", type=_symptom, choices=sorted(MESSAGE_IDS), metavar="S", help="only this symptom")
    parser.add_argument("--for", dest="length_us", type=_length, metavar="2h", help="how long: 1m to 30d")
    parser.add_argument(
        "--all",
        dest="is_wide_meant",
        action="store_true",
        help="confirm a silence of most of the fleet for more than a day",
    )
    parser.add_argument("--reason", type=_reason, metavar="TEXT", help=f"why: up to {REASON_LENGTH} characters")
    parser.add_argument("--json", action="store_true", help="list them as one JSON document")
    parser.set_defaults(command=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; return the exit status."""
    try:
        state_directory, control_path = (
            load_location(config_path(options), key) for key in ("state.directory", "control.path")
        )
    except ConfigError as error:
        return refuse(error)
    silences = _Silences(SilenceFile(state_directory), control_path)
    try:
        if options.what == "list":
            return _list(silences.file, options)
        if options.what == "end":
            return _end(silences, options)
        return _add(silences, options)
    except RefusedError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return _EXIT_USAGE
    except (SinkUnavailable, NoAnswerError) as error:
        print(f"the silences cannot be read or written: {error}{_advice(error)}", file=sys.stderr)  # noqa: T201
        return _EXIT_BROKEN


@dataclass(frozen=True, slots=True)
class _Silences:
    """The silences: in the file, for who may write it; else by the service, which whoever may ask it asks.

    Raises:
        SinkUnavailable: In every method: they cannot be written, and not for want of a right to.
        NoAnswerError: There is no such right, nor a service to ask.
        RefusedError: The service refuses.

    """

    file: SilenceFile
    control_path: Path

    def add(self, silence: Silence, now: Instant, *, is_wide_meant: bool) -> Silence:
        """Add one; return it as it is then."""
        request = {
            "hosts": silence.hosts,
            "symptom": silence.symptom,
            "for_s": (silence.ends_at - now) / SECOND_US,
            "reason": silence.reason,
            "all": is_wide_meant,
        }
        if not is_wide_meant:
            self._refuse_wide(silence, request)
        try:
            become_owner_of(self.file.path.parent)
            self.file.add(silence, now)
        except TooManySilences as error:
            raise RefusedError(str(error)) from error
        except SinkUnavailable as error:
            return self._ask(error, target("silences"), "POST", request)
        return silence

    def end(self, name: str, now: Instant) -> Silence | None:
        """End one; None if there is none."""
        try:
            become_owner_of(self.file.path.parent)
            return self.file.end(name, now)
        except SinkUnavailable as error:
            return self._ask(error, target("silences", name), "DELETE")

    def _refuse_wide(self, silence: Silence, request: Mapping[str, Any]) -> None:
        """Refuse to keep most of the fleet quiet for long; which hosts there are, the service knows, if it runs."""
        length_us = silence.ends_at - silence.starts_at
        if problem := breadth_problem(silence.hosts, length_us, ()):
            raise RefusedError(f"{printable(problem)}; {BREADTH_ADVICE}")
        if length_us > WIDE_LONGEST_US and not is_plain(silence.hosts):
            with suppress(NoAnswerError):
                ask(self.control_path, target("silences"), "POST", {**request, "is_trial": True})

    def _ask(self, error: SinkUnavailable, target: str, method: str, body: Mapping[str, Any] | None = None) -> Silence:
        if not isinstance(error.__cause__, PermissionError):
            raise error
        return silence_of(ask(self.control_path, target, method, body)["silence"])


def _add(silences: _Silences, options: argparse.Namespace) -> int:
    _refuse_more(options, "id")
    missing = [name for name, value in (("--for", options.length_us), ("--reason", options.reason)) if value is None]
    if missing:
        options.parser.error(f"a silence needs an end and a reason: {' and '.join(missing)} missing")
    if problem := glob_problem(options.what):
        options.parser.error(f"{printable(options.what)}: {problem}")
    now = clock.now()
    silence = Silence(
        id=secrets.token_hex(3),
        hosts=options.what,
        symptom=options.symptom,
        starts_at=now,
        ends_at=now + options.length_us,
        reason=options.reason,
        author=_author(),
    )
    _say(_line(silences.add(silence, now, is_wide_meant=options.is_wide_meant), now))
    return 0


def _list(file: SilenceFile, options: argparse.Namespace) -> int:
    _refuse_more(options, "id", "symptom", "length_us", "reason")
    now = clock.now()
    known, problems = admitted(file.load(), now)
    if problems:
        print(f"silences ignored by the service: {printable('; '.join(problems[:3]))}", file=sys.stderr)  # noqa: T201
    silences = sorted((one for one in known if one.is_active(now)), key=lambda one: one.ends_at)
    if options.json:
        document = {"version": VERSION, "silences": [one.row() for one in silences]}
        _say(msgspec.json.encode(document).decode())
    else:
        for one in silences:
            _say(_line(one, now))
        if not silences:
            _say("no silences")
    return 0


def _end(silences: _Silences, options: argparse.Namespace) -> int:
    if options.id is None:
        options.parser.error("end needs the ID of a silence; `silence list` shows them")
    _refuse_more(options, "symptom", "length_us", "reason")
    now = clock.now()
    ended = silences.end(options.id, now)
    if ended is None:
        print(f"there is no silence {printable(options.id)}; `silence list` shows them", file=sys.stderr)  # noqa: T201
        return _EXIT_USAGE
    _say(f"ended {_line(ended, now)}")
    return 0


def _advice(error: SinkUnavailable | NoAnswerError) -> str:
    """Return what to do, where the error does not say it itself."""
    if isinstance(error, NoAnswerError) or not isinstance(error.__cause__, OSError):
        return ""
    if isinstance(error.__cause__, PermissionError) and os.geteuid() != 0:
        return "; run this as root, or in the group of the service"
    return "; see that `[state] directory` is a directory, and its disk neither full nor read-only"


def _line(silence: Silence, now: Instant) -> str:
    symptom = "" if silence.symptom is None else f" {silence.symptom}"
    return (
        f"{silence.id}: {silence.hosts}{symptom} until {isoformat(silence.ends_at)[:19]}Z"
        f" ({describe(max(0, silence.ends_at - now))} more), by {silence.author}: {silence.reason}"
    )


def _author() -> str:
    return (os.environ.get("SUDO_USER") or user_name(os.getuid()))[:NAME_LENGTH]


def _refuse_more(options: argparse.Namespace, *names: str) -> None:
    """End the command if it was given words that it has no use for: who gave them expects something of them."""
    shown = {"id": "a second word", "symptom": "--symptom", "length_us": "--for", "reason": "--reason"}
    given = [shown[name] for name in names if getattr(options, name) is not None]
    if options.is_wide_meant and "length_us" in names:
        given.append("--all")
    if given:
        options.parser.error(f"{printable(options.what)}: {' and '.join(given)} cannot be used with it")


def _symptom(text: str) -> str:
    if text in MESSAGE_IDS:
        return text
    close = get_close_matches(text, MESSAGE_IDS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise argparse.ArgumentTypeError(f"expected one of {', '.join(sorted(MESSAGE_IDS))}, found {text!r}{hint}")


def _length(text: str) -> int:
    return length("1m", f"{LONGEST_US // (24 * HOUR_US)}d")(text)


def _reason(text: str) -> str:
    if not text.strip() or len(text) > REASON_LENGTH:
        raise argparse.ArgumentTypeError(f"expected a text of up to {REASON_LENGTH} characters, found {len(text)}")
    if not is_utf8(text):
        raise argparse.ArgumentTypeError(f"expected UTF-8, found '{printable(text)}'")
    return text.strip()


def _say(line: str) -> None:
    print(printable(line))  # noqa: T201 - stdout is what this command is for
