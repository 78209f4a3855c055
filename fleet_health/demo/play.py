"""The demo from its start to its end: runs the stage, shows it, and evaluates whether it went as it should."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleet_health.demo import pieces
from fleet_health.demo.alerts import Alerts
from fleet_health.demo.screen import screen_for
from fleet_health.demo.stage import StageError, running, show_status
from fleet_health.errors import FleetHealthError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from fleet_health.demo.screen import Screen
    from fleet_health.demo.stage import Stage

ALERTS_WITHIN_S = 60
LAST_LOOK_S = 1.0
_FRAME_S = 0.2


class WentWrongError(FleetHealthError):
    """The demo did not show what it should; `str()` says what is missing or too much, with the daemon's log."""


async def play(directory: Path, console: Console, *, seconds: float, kept: bool) -> None:
    """Run the demo in an empty `directory` and show it on `console`.

    It ends a moment after the last of the alerts that are to come, but not before `seconds` have passed.

    Raises:
        WentWrongError: They have not come within a minute, others have, or a part of the demo failed.

    """
    async with running(directory) as stage:
        alerts = Alerts(stage.files.alerts)
        screen = screen_for(console)
        screen.begin(stage)
        try:
            await _watch(stage, alerts, screen, seconds)
        except FleetHealthError as error:
            raise WentWrongError(_with_log(stage, str(error))) from error
        finally:
            screen.end(stage, alerts)
        screen.print(pieces.summary(stage, alerts, kept=kept))
        screen.print(pieces.status_heading())
        console.file.flush()
        await show_status(stage, console.file)


async def _watch(stage: Stage, alerts: Alerts, screen: Screen, seconds: float) -> None:
    ends_at_s = seconds
    while stage.elapsed_s < ends_at_s or alerts.missing:
        stage.check()
        for row in alerts.read_new():
            screen.alert(stage, row)
            ends_at_s = max(seconds, stage.elapsed_s + LAST_LOOK_S)
        screen.update(stage, alerts)
        if alerts.too_many:
            raise StageError(f"more alerts than there should be: {'; '.join(alerts.too_many)}")
        if alerts.missing and stage.elapsed_s > ALERTS_WITHIN_S:
            raise StageError(f"not reported within {ALERTS_WITHIN_S} s: {', '.join(alerts.missing)}")
        await asyncio.sleep(_FRAME_S)


def _with_log(stage: Stage, message: str) -> str:
    log = stage.files.daemon_log.read_text(errors="backslashreplace").strip()
    return f"{message}\n\nThe daemon's log:\n{log or '(empty)'}"
