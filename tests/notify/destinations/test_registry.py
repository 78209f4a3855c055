"""Each type of destination can be made."""

from __future__ import annotations

import pytest

from fleet_health.config.destinations.registry import TYPES
from fleet_health.notify.destinations.registry import builder


@pytest.mark.parametrize("name", TYPES)
def test_what_can_be_configured_can_be_made(name: str) -> None:
    """Every type has a module of its name with the function `build`."""
    assert callable(builder(name))


def test_another_type_is_none() -> None:
    """A configuration cannot make any other module be imported."""
    with pytest.raises(KeyError):
        builder("registry")
