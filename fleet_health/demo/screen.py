"""Show the demo: as a live table on a terminal, as plain lines elsewhere.

Owns when each part is shown. `pieces` makes the parts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rich.console import Group
from rich.live import Live

from fleet_health.demo import pieces
from fleet_health.demo.stage import TICK_S

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from fleet_health.demo.alerts import AlertRow, Alerts
    from fleet_health.demo.stage import Stage


class Screen(Protocol):
    """A way of showing the demo."""

    def begin(self, stage: Stage) -> None:
        """Show the introduction."""

    def update(self, stage: Stage, alerts: Alerts) -> None:
        """Show the present state. The demo calls this several times a second."""

    def alert(self, stage: Stage, row: AlertRow) -> None:
        """Show a new alert."""

    def end(self, stage: Stage, alerts: Alerts) -> None:
        """Show the final state."""

    def print(self, piece: RenderableType) -> None:
        """Show a part once."""


@dataclass(slots=True)
class LiveScreen:
    """Shows the table at the bottom of a terminal, and the alerts above it."""

    console: Console
    _live: Live = field(init=False)

    def begin(self, stage: Stage) -> None:
        """Print the introduction and open the table below it."""
        self.print(pieces.introduction(stage))
        self._live = Live(console=self.console, auto_refresh=False)
        self._live.start()

    def update(self, stage: Stage, alerts: Alerts) -> None:
        """Redraw the table."""
        self._live.update(Group(pieces.fleet(stage, alerts), pieces.service(stage)), refresh=True)

    def alert(self, stage: Stage, row: AlertRow) -> None:
        """Print the alert above the table."""
        self.print(pieces.alert_panel(stage, row))

    def end(self, stage: Stage, alerts: Alerts) -> None:
        """Draw the table for the last time, and restore the cursor."""
        self.update(stage, alerts)
        self._live.stop()

    def print(self, piece: RenderableType) -> None:
        """Print a part, above the table if that is shown."""
        self.console.print(piece)


@dataclass(slots=True)
class LineScreen:
    """Prints plain lines to a pipe, a file or the log of a CI job."""

    console: Console
    _is_ready: bool = False
    _next_report_s: float = TICK_S

    def begin(self, stage: Stage) -> None:
        """Print the introduction."""
        self.print(pieces.introduction(stage))

    def update(self, stage: Stage, alerts: Alerts) -> None:
        """Print once that the service is ready, and print the table at each tick."""
        if stage.notify.is_ready and not self._is_ready:
            self._is_ready = True
            self.print(pieces.service(stage))
        if stage.elapsed_s >= self._next_report_s:
            self._next_report_s += TICK_S
            self.print(Group(pieces.fleet(stage, alerts), pieces.service(stage)))

    def alert(self, stage: Stage, row: AlertRow) -> None:
        """Print the alert."""
        self.print(pieces.alert_lines(stage, row))

    def end(self, stage: Stage, alerts: Alerts) -> None:
        """Print the table for the last time."""
        self.print(pieces.fleet(stage, alerts))

    def print(self, piece: RenderableType) -> None:
        """Print a part without trailing blanks."""
        with self.console.capture() as capture:
            self.console.print(piece)
        for line in capture.get().splitlines():
            self.console.out(line.rstrip())


def screen_for(console: Console) -> Screen:
    """Return the live table for a terminal that can move the cursor; else plain lines."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else LineScreen(console)
