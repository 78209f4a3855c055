"""`fleet-health config`: whether a configuration is right, and which settings are in force, for all or for one host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import EXIT_CONFIG, Subparsers, add_config_option, config_path, host_glob, refuse
from fleet_health.config.document import LISTS
from fleet_health.config.in_force import in_force, written
from fleet_health.config.loading import load
from fleet_health.config.match_trust import match_warnings
from fleet_health.config.pattern_trust import REMEDY, warnings
from fleet_health.config.schema import OVERRIDABLE
from fleet_health.errors import ConfigError, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
"""The version of the documents; keys are only ever added to them."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "config",
        help=SUMMARIES["config"],
        description="Check a configuration, or show every setting that is in force and where it comes from.",
        epilog="Exit status: 0 when the configuration can be used, also with warnings; 2 when it cannot, with every"
        " problem.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check whether the configuration can be used")
    show = actions.add_parser(
        "show",
        help="show every setting in force; for a host, its limits",
        description="Show every setting in force as TOML, with where it comes from; for a host, the limits of the"
        " detectors, overrides included.",
    )
    show.add_argument("host", nargs="?", type=host_glob, metavar="HOST", help="the host whose limits to show")
    for action, command in ((check, _check), (show, _show)):
        add_config_option(action)
        action.add_argument("--json", action="store_true", help="print one JSON document")
        action.set_defaults(command=command)


def _check(options: argparse.Namespace) -> int:
    path = config_path(options)
    problems: list[dict[str, str]] = []
    doubts: list[str] = []
    remedy = ""
    try:
        for receiver in load(path).receivers:
            of_receiver = f"receiver {receiver.name}: " if receiver.name else ""
            forged = list(warnings(receiver.journal))
            remedy = REMEDY if forged else remedy
            doubts += (f"{of_receiver}{doubt}" for doubt in (*forged, *match_warnings(receiver.journal)))
    except ConfigError as error:
        if not options.json:
            return refuse(error)
        problems = [
            {"place": one.place, "expected": one.expected, "found": one.found, "hint": one.hint}
            for one in error.problems
        ]
    if options.json:
        _print_document(path, {"is_good": not problems, "problems": problems, "warnings": doubts})
    else:
        name = path or "no file, so all defaults"
        for doubt in doubts:
            _say(f"{name}: warning: {doubt}")
        if remedy:
            _say(f"What to do: {remedy}")
        _say(f"{name}: good")
    return EXIT_CONFIG if problems else 0


def _show(options: argparse.Namespace) -> int:
    path, host = config_path(options), options.host
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
    for name, tables in lists.items():
        for table in tables:
            _say(f"\n[[{name}]]  # {path}")
            for key, value in written(table):
                _say(f"{key} = {value}")
    return 0


def _print_document(path: Path | None, document: Mapping[str, Any]) -> None:
    print(json.dumps({"version": VERSION, "file": None if path is None else str(path), **document}))  # noqa: T201


def _say(text: str) -> None:
    print("\n".join(map(printable, text.split("\n"))))  # noqa: T201 - stdout is what this command is for
