"""What the configuration's tests share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.detectors.limits import HostLimits
from fleet_health.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from fleet_health.config.schema import Settings


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """Load the text of a file."""

    def load_text(text: str | bytes, options: Mapping[str, tuple[str, Any]] | None = None) -> Settings:
        path = tmp_path / "config.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(path, options)

    return load_text


@pytest.fixture
def problems_of(settings_of: Callable[..., Settings]) -> Callable[..., list[str]]:
    """Load the text of a file that cannot be used, and give what is said of it."""

    def refuse_text(text: str | bytes, options: Mapping[str, tuple[str, Any]] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            settings_of(text, options)
        return [str(problem) for problem in caught.value.problems]

    return refuse_text


@pytest.fixture(scope="session")
def plain() -> Callable[[Settings], dict[str, Any]]:
    """Make settings comparable: the limits of each symptom become a list, the default first."""

    def flatten(settings: Settings) -> dict[str, Any]:
        compared = (field.name for field in dataclasses.fields(settings) if field.compare)
        limits = {
            symptom: value.each_alone() if isinstance(value, HostLimits) else value
            for symptom, value in settings.limits.items()
        }
        return {name: getattr(settings, name) for name in compared} | {"limits": limits}

    return flatten
