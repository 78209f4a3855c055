"""How the demo looks: a live table on a terminal, plain lines as things happen anywhere else.

Owns the two ways of showing, and when each shows what. What the pieces look like is `pieces`' concern.
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
    """What the demo is shown on."""

    def begin(self, stage: Stage) -> None:
        """Return what there is to see."""

    def update(self, stage: Stage, alerts: Alerts) -> None:
        """Show how things stand now. Called several times a second."""

    def alert(self, stage: Stage, row: AlertRow) -> None:
        """Show an alert that has just come."""

    def end(self, stage: Stage, alerts: Alerts) -> None:
        """Show how things stand for the last time."""

    def print(self, piece: RenderableType) -> None:
        """Show a piece of the picture, once."""


@dataclass(slots=True)
class LiveScreen:
    """A terminal: alerts scroll by, and below them stands the table, always up to date."""

    console: Console
    _live: Live = field(init=False)

    def begin(self, stage: Stage) -> None:
        """Print the introduction and open the table below it."""
        self.print(pieces.introduction(stage))
        self._live = Live(console=self.console, auto_refresh=False)
        self._live.start()

    def update(self, stage: Stage, alerts: Alerts) -> None:
        """Redraw the table."""
        self._live.update(Group(pieces.fleet(stage, alerts), pieces.daemon(stage)), refresh=True)

    def alert(self, stage: Stage, row: AlertRow) -> None:
        """Print the alert above the table."""
        self.print(pieces.alert_panel(stage, row))

    def end(self, stage: Stage, alerts: Alerts) -> None:
        """Leave the table as it is, and restore the cursor."""
        self.update(stage, alerts)
        self._live.stop()

    def print(self, piece: RenderableType) -> None:
        """Print a piece; above the table, as long as that is there."""
        self.console.print(piece)


@dataclass(slots=True)
class LineScreen:
    """A pipe, a file, a CI job: plain lines, each as soon as there is something to say."""

    console: Console
    _is_ready: bool = False
    _next_report_s: float = TICK_S

    def begin(self, stage: Stage) -> None:
        """Print the introduction."""
        self.print(pieces.introduction(stage))

    def update(self, stage: Stage, alerts: Alerts) -> None:
        """Print that the daemon is ready, and once a tick how things stand."""
        if stage.notify.is_ready and not self._is_ready:
            self._is_ready = True
            self.print(pieces.daemon(stage))
        if stage.elapsed_s >= self._next_report_s:
            self._next_report_s += TICK_S
            self.print(Group(pieces.fleet(stage, alerts), pieces.daemon(stage)))

    def alert(self, stage: Stage, row: AlertRow) -> None:
        """Print the alert."""
        self.print(pieces.alert_lines(stage, row))

    def end(self, stage: Stage, alerts: Alerts) -> None:
        """Print the table for the last time."""
        self.print(pieces.fleet(stage, alerts))

    def print(self, piece: RenderableType) -> None:
        """Print a piece, without the blanks that fill a terminal's lines."""
        with self.console.capture() as capture:
            self.console.print(piece)
        for line in capture.get().splitlines():
            self.console.out(line.rstrip())


def screen_for(console: Console) -> Screen:
    """Choose by what the console can do."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else LineScreen(console)
