"""The configuration of the service: the settings in force, and how to load them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.errors import ConfigError, PathHangs, Problem
from fleet_health.files.hanging_calls import call_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.config.schema import Settings

_CONFIGURATION = Path("configuration")
"""The name under which `call_at` counts the calls that read the configuration, which may be several files."""


class Configuration:
    """The settings in force, and the function that loads them.

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
        """Load the configuration again and return its settings. They are not in force yet.

        Raises:
            ConfigError: The configuration cannot be read or used.

        """
        try:
            return await call_at(_CONFIGURATION, self._load)
        except PathHangs as error:
            raise ConfigError("configuration", [Problem("file", "a readable file", str(error))]) from error
