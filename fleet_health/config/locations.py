"""Read the paths at which the service is reached, without the rest of the configuration, which loads much slower."""

from __future__ import annotations

from pathlib import Path

from fleet_health.config import values
from fleet_health.config.document import TableReader, read_document
from fleet_health.config.key import Key
from fleet_health.errors import ConfigError, Problem

DEFAULT_PATH = Path("/etc/fleet-health/config.toml")
"""The default configuration file."""

LOCATIONS: dict[str, Key] = {
    "control.path": Key(values.path, "/run/fleet-health/control.sock"),
    "state.directory": Key(values.path, "/var/lib/fleet-health"),
    "notify.directory": Key(values.path, "/var/lib/fleet-health-notify"),
    "notify.control": Key(values.path, "/run/fleet-health-notify/control.sock"),
}
"""The keys of the control sockets and of the state directories of the service and of `notify`."""


def load_location(path: Path | None, key: str) -> Path:
    """Return one of `LOCATIONS`, even if other settings are invalid, because the service may run with older settings.

    Args:
        path: The configuration file; None for all defaults.
        key: The setting.

    Raises:
        ConfigError: The file is not TOML (UnreadableConfigError), or this key or another one in its table is invalid.

    """
    problems: list[Problem] = []
    tables = (read_document(path) if path else {}).items()
    found = TableReader(problems, LOCATIONS, "").read({name: raw for name, raw in tables if key.startswith(f"{name}.")})
    if problems:
        raise ConfigError(path or "command line", problems)
    return Path((path or Path()).parent, found.get(key, LOCATIONS[key].default))
