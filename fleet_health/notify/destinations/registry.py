"""Makes destinations of every type.

The module of a type is imported when a destination of that type is made, so unused types cost no memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fleet_health.config.destinations.registry import TYPES

if TYPE_CHECKING:
    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.destination import AnyDestination, Build


def build(settings: DestinationSettings) -> AnyDestination:
    """Make a destination. Nothing is read, and nothing is sent."""
    return builder(settings.type)(settings)


def builder(type_: str) -> Build:
    """Return the function that makes destinations of a type, `build` of the module with the name of the type.

    Raises:
        KeyError: There is no such type.

    """
    if type_ not in TYPES:
        raise KeyError(type_)
    made: Build = import_module(f"{__package__}.{type_}").build
    return made
