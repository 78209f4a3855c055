"""`fleet-health silence`: not to be told of some hosts for a while."""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from fleet_health.cli.options import Subparsers, add_config_option, config_path, length, refuse
from fleet_health.config.loading import load
from fleet_health.domain.instant import SECOND_US, describe, isoformat
from fleet_health.domain.silences import Silence
from fleet_health.errors import ConfigError, SinkUnavailable, printable
from fleet_health.service import clock
from fleet_health.sinks.journal import MESSAGE_IDS
from fleet_health.sinks.silence_file import SilenceFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.domain.instant import Instant

VERSION = 1
"""The version of the document; keys are only ever added to it."""

_EXIT_BROKEN, _EXIT_USAGE = 1, 2
_LONGEST_US = 30 * 24 * 3_600 * SECOND_US
_REASON_LENGTH = 200


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "silence",
        help="not to be told of some hosts for a while",
        usage="%(prog)s HOST-GLOB [--symptom S] --for 2h --reason TEXT\n"
        "       %(prog)s list [--json]\n"
        "       %(prog)s end ID",
        description="Keep alerts of the hosts that match a glob (`*`, `?` and `[…]`) quiet, and say why. It takes"
        " effect at the next tick, survives restarts, and always ends; then what still stands is told of. That a"
        " silenced fault is over is told all the same. Alerts of host `*` (such as receiver-down) are silenced by `'*'`"
        " only if their symptom is named. A host called `list` or `end` is silenced as `[l]ist` or `[e]nd`.",
        epilog="Exit status: 0 when it is done; 1 when it cannot be written or read; 2 when it is asked for wrongly.",
    )
    add_config_option(parser)
    parser.add_argument(
        "what", type=_glob, metavar="HOST-GLOB|list|end", help="which hosts; or list the silences; or end one"
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="the silence to end")
    parser.add_argument(
        "--symptom", type=_symptom, choices=sorted(MESSAGE_IDS), metavar="S", help="only this symptom of them"
    )
    parser.add_argument("--for", dest="length_us", type=_length, metavar="2h", help="for how long: 1m to 30d")
    parser.add_argument("--reason", type=_reason, metavar="TEXT", help=f"why: up to {_REASON_LENGTH} characters")
    parser.add_argument("--json", action="store_true", help="list them as one JSON document")
    parser.set_defaults(command=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; give the exit status."""
    try:
        file = SilenceFile(load(config_path(options)).state_directory)
    except ConfigError as error:
        return refuse(error)
    try:
        if options.what == "list":
            return _list(file, options)
        if options.what == "end":
            return _end(file, options)
        return _add(file, options)
    except SinkUnavailable as error:
        is_root = os.geteuid() == 0
        advice = "see that the disk is neither full nor read-only" if is_root else "run this as root, or as the service"
        print(f"the silences cannot be read or written: {error}; {advice}", file=sys.stderr)  # noqa: T201
        return _EXIT_BROKEN


def _add(file: SilenceFile, options: argparse.Namespace) -> int:
    _refuse_more(options, "id")
    missing = [name for name, value in (("--for", options.length_us), ("--reason", options.reason)) if value is None]
    if missing:
        options.parser.error(f"a silence needs an end and a reason: {' and '.join(missing)} missing")
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
    file.change(lambda silences: [*silences, silence], now)
    _say(_line(silence, now))
    return 0


def _list(file: SilenceFile, options: argparse.Namespace) -> int:
    _refuse_more(options, "id", "symptom", "length_us", "reason")
    now = clock.now()
    silences = sorted((one for one in file.load() if one.is_active(now)), key=lambda one: one.ends_at)
    if options.json:
        document = {"version": VERSION, "silences": [one.row() for one in silences]}
        _say(msgspec.json.encode(document).decode())
    else:
        for one in silences:
            _say(_line(one, now))
        if not silences:
            _say("no silences")
    return 0


def _end(file: SilenceFile, options: argparse.Namespace) -> int:
    if options.id is None:
        options.parser.error("end needs the ID of a silence; `silence list` shows them")
    _refuse_more(options, "symptom", "length_us", "reason")
    now = clock.now()
    ending = _Ending(options.id, now)
    file.change(ending, now)
    if not ending.ended:
        print(f"there is no silence {printable(options.id)}; `silence list` shows them", file=sys.stderr)  # noqa: T201
        return _EXIT_USAGE
    _say(f"ended {_line(ending.ended[0], now)}")
    return 0


@dataclass
class _Ending:
    """Ends the silence of an id now."""

    id: str
    now: Instant
    ended: list[Silence] = field(default_factory=list)

    def __call__(self, silences: list[Silence]) -> Sequence[Silence]:
        self.ended = [one for one in silences if one.id == self.id and one.is_active(self.now)]
        return [msgspec.structs.replace(one, ends_at=self.now) if one in self.ended else one for one in silences]


def _line(silence: Silence, now: Instant) -> str:
    symptom = "" if silence.symptom is None else f" {silence.symptom}"
    return (
        f"{silence.id}: {silence.hosts}{symptom} until {isoformat(silence.ends_at)[:19]}Z"
        f" ({describe(max(0, silence.ends_at - now))} more), by {silence.author}: {silence.reason}"
    )


def _author() -> str:
    if name := os.environ.get("SUDO_USER"):
        return name
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def _refuse_more(options: argparse.Namespace, *names: str) -> None:
    """End the command if it was given words that it has no use for: who gave them expects something of them."""
    shown = {"id": "a second word", "symptom": "--symptom", "length_us": "--for", "reason": "--reason"}
    if given := [shown[name] for name in names if getattr(options, name) is not None]:
        options.parser.error(f"{printable(options.what)}: {' and '.join(given)} cannot be used with it")


def _glob(text: str) -> str:
    if not text or not _is_text(text):
        raise argparse.ArgumentTypeError(f"expected a host's name or a glob in UTF-8, found '{printable(text)}'")
    return text


def _is_text(text: str) -> bool:
    """Say whether an argument was UTF-8; what was not has been let in as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _symptom(text: str) -> str:
    if text in MESSAGE_IDS:
        return text
    close = get_close_matches(text, MESSAGE_IDS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise argparse.ArgumentTypeError(f"expected one of {', '.join(sorted(MESSAGE_IDS))}, found {text!r}{hint}")


def _length(text: str) -> int:
    length_us = length("1m")(text)
    if length_us > _LONGEST_US:
        raise argparse.ArgumentTypeError(f"expected no more than 30d, for a silence must end, found {text!r}")
    return length_us


def _reason(text: str) -> str:
    if not text.strip() or len(text) > _REASON_LENGTH:
        raise argparse.ArgumentTypeError(f"expected a text of up to {_REASON_LENGTH} characters, found {len(text)}")
    if not _is_text(text):
        raise argparse.ArgumentTypeError(f"expected UTF-8, found '{printable(text)}'")
    return text.strip()


def _say(line: str) -> None:
    print(printable(line))  # noqa: T201 - stdout is what this command is for
