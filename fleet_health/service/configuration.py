"""The configuration: the settings in force, and loading it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.errors import ConfigError, PathHangs, Problem
from fleet_health.files.hanging_calls import call_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.config.schema import Settings

_CONFIGURATION = Path("configuration")
"""The path under which `call_at` counts the calls that read the configuration: it may be several files."""


class Configuration:
    """The settings in force, and where they come from.

    Attributes:
        settings: The settings in force.

    """

    def __init__(self, load: Callable[[], Settings]) -> None:
        """Load the configuration by calling `load`, now and whenever `loaded` is called.

        Raises:
            ConfigError: The configuration cannot be used.

        """
        self._load = load
        self.settings = load()

    async def loaded(self) -> Settings:
        """Return the settings of the configuration as it is now. They are not in force yet.

        Raises:
            ConfigError: The configuration cannot be read or used.

        """
        try:
            return await call_at(_CONFIGURATION, self._load)
        except PathHangs as error:
            raise ConfigError("configuration", [Problem("file", "one that can be read", str(error))]) from error
