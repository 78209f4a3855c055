"""`fleet-health config`: whether a configuration is right, and which limits are in force for a host."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_health.cli.options import Subparsers, add_config_option, config_path, refuse
from fleet_health.config.loading import load
from fleet_health.config.schema import KEYS, OVERRIDABLE
from fleet_health.domain.host_globs import HostGlobs
from fleet_health.domain.limits import Override
from fleet_health.errors import ConfigError, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path


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
        load(path)
    except ConfigError as error:
        return refuse(error)
    document = {} if path is None else tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    settings = _in_force(document, path)
    if options.host is not None:
        settings = {key: setting for key, setting in settings.items() if key in OVERRIDABLE}
        settings |= _overridden(document, options.host)
    for key, setting in settings.items():
        _say(f"{key} = {setting.written}  # {setting.origin}")
    return 0


@dataclass(frozen=True, slots=True)
class _Setting:
    """A value as it is written, and where it is."""

    value: Any
    origin: str

    @property
    def written(self) -> str:
        # A string, number, truth or list of JSON is one of TOML too.
        return json.dumps(self.value, ensure_ascii=False)


def _in_force(document: Mapping[str, Any], path: Path | None) -> dict[str, _Setting]:
    given = dict(_flat(document))
    settings = {}
    for key, entry in KEYS.items():
        if key in given:
            settings[key] = _Setting(given[key], str(path))
        elif entry.default is not None:
            settings[key] = _Setting(entry.default, "default")
    return settings


def _overridden(document: Mapping[str, Any], host: str) -> dict[str, _Setting]:
    """Give what the overrides set for a host; of several, as `HostLimits` decides."""
    matching = [
        (Override(glob, dict(_flat({"detectors": entry.get("detectors", {})}))), number)
        for number, entry in enumerate(document.get("overrides", []), start=1)
        for glob in entry["hosts"]
        if HostGlobs((glob,)).matches(host)
    ]
    matching.sort(key=lambda one: one[0].specificity)
    return {
        key: _Setting(value, f"overrides[{number}], {override.glob}")
        for override, number in matching
        for key, value in override.changes.items()
    }


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _say(line: str) -> None:
    print(printable(line))  # noqa: T201 - stdout is what this command is for
