"""`fleet-health config`: whether a configuration is right, and which limits are in force for a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.cli.options import Subparsers, add_config_option, config_path, refuse
from fleet_health.config.in_force import in_force
from fleet_health.config.loading import load
from fleet_health.config.schema import OVERRIDABLE
from fleet_health.errors import ConfigError, printable

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "config",
        help="check a configuration, or show what is in force",
        description="Check a configuration, or show every setting that is in force and where it comes from.",
        epilog="Exit status: 0 for a configuration that can be used; 2 for one that cannot, with every problem.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="say whether the configuration can be used")
    show = actions.add_parser(
        "show",
        help="show every setting in force; for a host, its limits",
        description="Show every setting in force as TOML, with where it comes from; for a host, the limits of the"
        " detectors, overrides included.",
    )
    show.add_argument("host", nargs="?", metavar="HOST", help="the host whose limits to show")
    for action, command in ((check, _check), (show, _show)):
        add_config_option(action)
        action.set_defaults(command=command)


def _check(options: argparse.Namespace) -> int:
    path = config_path(options)
    try:
        load(path)
    except ConfigError as error:
        return refuse(error)
    _say(f"{path or 'no file, so all defaults'}: good")
    return 0


def _show(options: argparse.Namespace) -> int:
    path = config_path(options)
    try:
        document = load(path).document
    except ConfigError as error:
        return refuse(error)
    for key, setting in in_force(document, path, options.host).items():
        if options.host is None or key in OVERRIDABLE:
            _say(f"{key} = {setting.written}  # {setting.origin}")
    return 0


def _say(line: str) -> None:
    print(printable(line))  # noqa: T201 - stdout is what this command is for
