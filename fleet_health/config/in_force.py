"""Find the settings in force, for all hosts or for one, with the origin of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_health.config.learned_defaults import learned_defaults
from fleet_health.config.receiver_patterns import UNIT_KEY, depending_defaults
from fleet_health.config.schema import KEYS
from fleet_health.config.site_texts import text_defaults
from fleet_health.detectors import silent
from fleet_health.detectors.limits import Override
from fleet_health.model.host_globs import HostGlobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


OFF = "off: journal.response is configured, and journal.unstamped is not"
"""The origin of a setting whose default does not apply to the configured receiver."""

OFF_UNIT = "off: journal.match is configured, and journal.unit is not"
"""The origin of `journal.unit` if only `journal.match` decides."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting, with its origin.

    Attributes:
        value: The value in TOML; None if it is off.
        origin: `default`, the file, an override with its number and glob, or `OFF`.

    """

    value: Any
    origin: str

    @property
    def written(self) -> str:
        """The value as TOML text, or `off`."""
        return "off" if self.value is None else _written(self.value)


def in_force(document: Mapping[str, Any], path: Path | None, host: str | None = None) -> dict[str, Setting]:
    """Return key -> setting for each setting with a value; for a host, with its overrides.

    The document must be a valid configuration.
    """
    given = dict(flat(document))
    depending: dict[str, Any] = {
        **depending_defaults(given),
        **text_defaults(_receivers(document, given)),
        **learned_defaults(is_learned=_is_learned(document)),
    }
    settings = {}
    for key, entry in KEYS.items():
        if key in given:
            settings[key] = Setting(given[key], str(path))
        elif (default := depending.get(key, entry.default)) is not None:
            settings[key] = Setting(default, "default")
        elif key in depending:
            settings[key] = Setting(None, OFF_UNIT if key == UNIT_KEY else OFF)
    return settings if host is None else settings | _overridden(document, host)


def _is_learned(document: Mapping[str, Any]) -> bool:
    """Return whether the limit of any host is learned."""
    tables = (document, *document.get("overrides", ()))
    return any(dict(flat(one)).get(silent.CADENCE) == "learned" for one in tables)


def _receivers(document: Mapping[str, Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the journal settings of each receiver, as in the document."""
    each = [{**given, **dict(flat(entry))} for entry in document.get("receivers", ())] or [dict(given)]
    return [{key: KEYS[key].read(raw) for key, raw in one.items() if key.startswith("journal.")} for one in each]


def written(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each dotted key in a table of `LISTS`, with its value as TOML."""
    return ((key, _written(value)) for key, value in flat(table))


def _written(value: Any) -> str:
    # Strings, numbers, booleans and lists in JSON are valid TOML.
    return json.dumps(value, ensure_ascii=False)


def _overridden(document: Mapping[str, Any], host: str) -> dict[str, Setting]:
    """Return the settings from overrides for a host. If several overrides match, `HostLimits` chooses."""
    matching = [
        (Override(glob, dict(flat({"detectors": entry.get("detectors", {})}))), number)
        for number, entry in enumerate(document.get("overrides", []), start=1)
        for glob in entry["hosts"]
        if HostGlobs((glob,)).matches(host)
    ]
    matching.sort(key=lambda one: one[0].specificity)
    return {
        key: Setting(value, f"overrides[{number}], {override.glob}")
        for override, number in matching
        for key, value in override.changes.items()
    }


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return each key of a table and of the tables within, dotted, with its value."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
