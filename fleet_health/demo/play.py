"""Run the demo, show it, and check that it produces the expected alerts and no others."""

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
    """Alerts are missing or unexpected, or a part of the demo failed. `str()` has the reason and the service's log."""


async def play(directory: Path, console: Console, *, seconds: float, kept: bool) -> None:
    """Run the demo in an empty `directory` and show it on `console`.

    It ends one second after the last expected alert, but not before `seconds` have passed.

    Raises:
        WentWrongError: The alerts are not complete within a minute, there are others, or a part of the demo failed.

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
            raise StageError(f"unexpected alerts: {'; '.join(alerts.too_many)}")
        if alerts.missing and stage.elapsed_s > ALERTS_WITHIN_S:
            raise StageError(f"not alerted within {ALERTS_WITHIN_S} s: {', '.join(alerts.missing)}")
        await asyncio.sleep(_FRAME_S)


def _with_log(stage: Stage, message: str) -> str:
    log = stage.files.service_log.read_text(errors="backslashreplace").strip()
    return f"{message}\n\nThe log of the service:\n{log or '(empty)'}"
