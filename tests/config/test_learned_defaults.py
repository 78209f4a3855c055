"""The switches whose default depends on whether limits are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.in_force import in_force
from fleet_health.config.loading import load

if TYPE_CHECKING:
    from pathlib import Path

LEARNED = 'detectors.silent.cadence = "learned"\n'


@pytest.mark.parametrize(
    ("text", "is_on"),
    [
        pytest.param("", False, id="limits are fixed"),
        pytest.param('detectors.silent.cadence = "fixed"\n', False, id="limits are said to be fixed"),
        pytest.param(LEARNED, True, id="limits are learned"),
        pytest.param(f'[[overrides]]\nhosts = ["pi-*"]\n{LEARNED}', True, id="limits of some hosts are learned"),
        pytest.param(f"{LEARNED}detectors.degraded.enabled = false\n", False, id="it is switched off"),
        pytest.param("detectors.degraded.enabled = true\n", True, id="it is switched on"),
    ],
)
def test_degraded_is_on_where_limits_are_learned(text: str, tmp_path: Path, *, is_on: bool) -> None:
    """Unless it is switched off or on; and it is shown like that."""
    path = tmp_path / "config.toml"
    path.write_text(text)

    settings = load(path)

    assert ("degraded" not in settings.switched_off) == is_on
    assert in_force(settings.document, path)["detectors.degraded.enabled"].value == is_on
    assert "slow" in settings.switched_off
