"""The last words of the installer: what is watched, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.cli.setup import next_steps as module
from fleet_health.cli.setup.next_steps import next_steps
from fleet_health.cli.setup.units import Unit
from fleet_health.config.loading import load

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.mark.parametrize("has_receiver", [False, True])
@pytest.mark.parametrize(
    ("service", "is_started", "expected"),
    [
        pytest.param("active", True, "fleet-health reload", id="started by the installer"),
        pytest.param("inactive", False, "systemctl enable --now fleet-health", id="not started, and not running"),
        pytest.param("active", False, "systemctl restart fleet-health", id="not started, the old release runs"),
        pytest.param("", False, "systemctl enable --now fleet-health", id="not started, and no systemd to ask"),
    ],
)
def test_the_step_after_the_configuration(
    service: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_started: bool,
    has_receiver: bool,
) -> None:
    """A stopped service cannot reload. If the receiver is found, no setup is needed."""

    def ask(names: Iterable[str]) -> list[Unit] | None:
        states = {"fleet-health.service": service, "mine.service": "active" if has_receiver else ""}
        return [Unit(name, bool(states[name]), states[name]) for name in names] if service else None

    monkeypatch.setattr(module, "units", ask)
    monkeypatch.setattr(module, "obstacle", lambda _: "" if has_receiver else "it does not exist")
    (config := tmp_path / "config.toml").write_text('journal.unit = "mine.service"')

    lines = list(next_steps(load(config).receivers, config, is_started=is_started))

    steps = [line.strip() for line in lines[lines.index("What to do next:") + 1 :]]
    setup = [] if has_receiver else ["fleet-health setup"]
    following = [] if has_receiver and is_started else [expected]
    assert [line.split("  ")[0] for line in steps[: len([*setup, *following]) + 1]] == [
        *setup,
        *following,
        "fleet-health status",
    ]
