"""`fleet-health config`: check a configuration, or show the settings in force for all hosts or for one."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import (
    EXIT_BLIND,
    EXIT_CONFIG,
    Subparsers,
    add_config_file,
    add_config_option,
    config_path,
    host_glob,
    refuse,
)
from fleet_health.config.document import LISTS
from fleet_health.config.doubts import doubts
from fleet_health.config.in_force import in_force, written
from fleet_health.config.loading import load
from fleet_health.config.locations import DEFAULT_PATH
from fleet_health.config.match_trust import match_warnings
from fleet_health.config.pattern_trust import REMEDY, warnings
from fleet_health.config.schema import OVERRIDABLE
from fleet_health.errors import ConfigError, Problem, printable
from fleet_health.service import clock
from fleet_health.sources.inspection import inspected

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from fleet_health.config.schema import ReceiverSettings, Settings

VERSION = 1
"""The version of the documents. Keys are only added to them."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "config",
        help=SUMMARIES["config"],
        description="Check a configuration, or show every setting in force and where it comes from.",
        epilog="Exit status: 0 when the configuration can be used, even with warnings; 2 when it cannot, with every"
        " problem; 3 when it can be used, but its sources are not those of a receiver: systemd does not know the unit"
        " and the journal has no entry of it, the patterns match no line of the unit, or the index does not exist or is"
        " another kind of file; also 3 when the service may not read the index or write to a directory (which only root"
        " can check, for the installed configuration). If neither the journal nor the index exists, only the file is"
        " checked.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="check whether the configuration can be used, and whether its sources exist",
        description="Check the file, and then whether the units, the journal and the index that it names exist and are"
        " those of a receiver. Sources that this user may not read are skipped, with a note.",
    )
    check.add_argument("--file-only", action="store_true", help="check only the file, and not its sources")
    add_config_file(check)
    show = actions.add_parser(
        "show",
        help="show every setting in force; for a host, its limits",
        description="Show every setting in force as TOML, with its origin; for a host, the limits of the detectors,"
        " including overrides.",
    )
    show.add_argument(
        "host", nargs="?", type=_host_or_file, metavar="HOST|FILE", help="the host whose limits to show; or as --config"
    )
    for action, command in ((check, _check), (show, _show)):
        add_config_option(action)
        action.add_argument("--json", action="store_true", help="print one JSON document")
        action.set_defaults(command=command)


@dataclass(slots=True)
class _Found:
    """The results about the receivers of a configuration that can be used.

    Attributes:
        warnings: The warnings about its patterns, its matches and doubtful settings.
        remedy: The remedy for patterns that can be forged; empty if there are none.
        problems: The problems of its sources.
        notes: The sources that could not be checked.
        hosts: The hosts in the sources.

    """

    warnings: list[str] = field(default_factory=list)
    remedy: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def add(self, receiver: ReceiverSettings, *, is_file_only: bool) -> None:
        """Add the results about a receiver."""
        of_receiver = f"receiver {receiver.name}: " if receiver.name else ""
        forged = list(warnings(receiver.journal))
        self.remedy = REMEDY if forged else self.remedy
        self.warnings += (of_receiver + doubt for doubt in (*forged, *match_warnings(receiver.journal)))
        if not is_file_only:
            seen = inspected(receiver, clock.now())
            self.problems += (of_receiver + problem for problem in seen.problems)
            self.notes += (of_receiver + note for note in seen.notes)
            self.hosts |= seen.hosts

    def add_obstacles(self, settings: Settings) -> None:
        """Add a problem for each existing index that the service may not read, and each file that it may not write."""
        from fleet_health.cli.setup.service_view import obstacle, write_obstacle  # noqa: PLC0415 - only for this
        from fleet_health.files.outputs import outputs  # noqa: PLC0415 - likewise

        if settings.destinations:
            from fleet_health.cli.setup.notify_view import notify_obstacles  # noqa: PLC0415 - likewise

            self.problems += notify_obstacles(settings)

        for path in (one.index.path for one in settings.receivers):
            if path.exists() and (reason := obstacle(path)):
                self.problems.append(f"{path}: {reason}")
        for output in outputs(settings):
            if reason := write_obstacle(output):
                self.problems.append(f"{output.key}: {reason}")

    def show(self, name: Path | str) -> None:
        """Print it for people."""
        for doubt in self.warnings:
            _say(f"{name}: warning: {doubt}")
        if self.remedy:
            _say(f"What to do: {self.remedy}")
        for line in (*self.notes, *(f"problem: {problem}" for problem in self.problems)):
            print(printable(f"{name}: {line}"), file=sys.stderr)  # noqa: T201
        if not self.problems:
            _say(f"{name}: good")


def _check(options: argparse.Namespace) -> int:
    path, found, wrong = config_path(options), _Found(), list[Problem]()
    try:
        settings = load(path)
        for receiver in settings.receivers:
            found.add(receiver, is_file_only=options.file_only)
        found.warnings += doubts(settings, found.hosts)
        if path == DEFAULT_PATH and os.geteuid() == 0 and not options.file_only:
            found.add_obstacles(settings)
    except ConfigError as error:
        if not options.json:
            return refuse(error)
        wrong += error.problems
    if options.json:
        problems = [
            {"place": one.place, "expected": one.expected, "found": one.found, "hint": one.hint} for one in wrong
        ]
        document = {"is_good": not wrong, "problems": problems, "warnings": found.warnings}
        _print_document(path, {**document, "source_problems": found.problems, "notes": found.notes})
    else:
        found.show(path or "no file, so all defaults")
    if wrong:
        return EXIT_CONFIG
    return EXIT_BLIND if found.problems else 0


def _show(options: argparse.Namespace) -> int:
    host = options.host
    if isinstance(host, Path):
        options.config_file, host = host, None
    path = config_path(options)
    try:
        document = load(path).document
    except ConfigError as error:
        return refuse(error)
    settings = {
        key: setting for key, setting in in_force(document, path, host).items() if host is None or key in OVERRIDABLE
    }
    lists = {name: document.get(name, []) for name in LISTS} if host is None else {}
    if options.json:
        rows = [{"key": key, "value": one.value, "origin": one.origin} for key, one in settings.items()]
        _print_document(path, {"host": host, "settings": rows, **lists})
        return 0
    for key, setting in settings.items():
        value = "" if setting.value is None else f" = {setting.written}"
        _say(f"{'#' * (not value)}{key}{value}  # {setting.origin}")
    for key in () if host is None else sorted(OVERRIDABLE.keys() - settings.keys()):
        _say(f"#{key}  # not set")
    for name, tables in lists.items():
        for table in tables:
            _say(f"\n[[{name}]]  # {path}")
            for key, value in written(table):
                _say(f"{key} = {value}")
    return 0


def _host_or_file(text: str) -> str | Path:
    """Return an argument as a path if it contains a slash or `.toml`, which no host name does; else as a host name."""
    return Path(text) if "/" in text or text.endswith(".toml") else host_glob(text)


def _print_document(path: Path | None, document: Mapping[str, Any]) -> None:
    print(json.dumps({"version": VERSION, "file": None if path is None else str(path), **document}))  # noqa: T201


def _say(text: str) -> None:
    print("\n".join(map(printable, text.split("\n"))))  # noqa: T201 - stdout is what this command is for
