"""The parts of the screen: the fleet, the state of the service, an alert, and the texts around them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fleet_health.demo.hosts import HOSTS
from fleet_health.demo.stage import TICK_S

if TYPE_CHECKING:
    from fleet_health.demo.alerts import AlertRow, Alerts
    from fleet_health.demo.hosts import Tally
    from fleet_health.demo.stage import Stage


# Wider lines are hard to read.
WIDEST = 110

_LONGEST_SYMPTOM = max(len(host.symptom) for host in HOSTS)

_NEXT_STEPS = (
    ("fleet-health explain HOST", "why a host is reported"),
    ("journalctl -x -u fleet-health -p warning", "its alerts, with what to do"),
    ("fleet-health silence HOST --for 2h", "no alerts during maintenance"),
)


def introduction(stage: Stage) -> RenderableType:
    """Return the introduction: what runs, and what it will show."""
    text = Text.assemble(
        ("fleet-health demo", "bold"),
        "\n",
        f"{len(HOSTS)} simulated hosts upload to a real receiver on 127.0.0.1:{stage.port}. The real service reads",
        f" its journal and its index, and evaluates the hosts every {TICK_S} seconds. Three hosts have a fault.",
    )
    return Padding(text, (1, 1))


def fleet(stage: Stage, alerts: Alerts) -> RenderableType:
    """Return a table with the behaviour, the responses and the symptoms of each host."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("host", no_wrap=True)
    table.add_column("what it does", no_wrap=True, style="dim")
    for outcome in ("accepted", "refused", "unstamped"):
        table.add_column(outcome, justify="right", no_wrap=True)
    table.add_column("uploaded", justify="right", no_wrap=True)
    table.add_column("symptoms", no_wrap=True, min_width=_LONGEST_SYMPTOM)
    for host in HOSTS:
        tally = stage.tallies[host.name]
        counts = (Text(str(n), style="" if n else "dim") for n in (tally.accepted, tally.refused, tally.unstamped))
        symptoms = _symptoms(stage, alerts.symptoms(host.name))
        table.add_row(Text(host.name, style="bold"), host.story, *counts, _last_upload(tally), symptoms)
    return Padding(table, (1, 1, 0, 1))


def service(stage: Stage) -> RenderableType:
    """Return what the service reports to its service manager."""
    state = ("● ready", "green") if stage.notify.is_ready else ("○ starting", "yellow")
    head = Text.assemble(("fleet-health", "bold"), " ", state, (f"  {stage.elapsed_s:.0f} s", "dim"))
    return Padding(Group(head, Text(stage.notify.status, style="dim")), (0, 1))


def alert_panel(stage: Stage, row: AlertRow) -> RenderableType:
    """Return an alert in a frame."""
    return Panel(
        Group(Text(row["detail"]), _fix(row)),
        title=Text.assemble(("ALERT", "bold red"), " ", (row["host"], "bold"), " ", (row["symptom"], "bold red")),
        title_align="left",
        subtitle=Text(_when(stage, row), style="dim"),
        subtitle_align="right",
        border_style="red",
    )


def alert_lines(stage: Stage, row: AlertRow) -> RenderableType:
    """Return an alert as plain lines. The first line is that of the journal."""
    head = f"ALERT host={row['host']} symptom={row['symptom']} ({_when(stage, row)})"
    return Group(Text(head), Padding(Group(Text(row["detail"]), Text(f"→ {row['suggested_fix']}")), (0, 0, 0, 6)))


def summary(stage: Stage, alerts: Alerts, *, kept: bool) -> RenderableType:
    """Return the result of the demo, and the commands to try next."""
    found = len({row["host"] for row in alerts.rows})
    seen = Text.assemble(
        ("✓ ", "bold green"),
        (f"{found} of {len(HOSTS)} hosts have a fault", "bold"),
        f". Each was alerted once, within {stage.elapsed_s:.0f} s. The other host is well.",
    )
    next_steps = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for command, purpose in _NEXT_STEPS:
        next_steps.add_row(Text(command, style="cyan", no_wrap=True), Text(purpose, style="dim"))
    parts: list[RenderableType] = [
        seen,
        "",
        "On a machine where fleet-health is installed, try:",
        Padding(next_steps, (0, 0, 0, 2)),
    ]
    if kept:
        parts += ["", Text(f"The files of this demo are in {stage.files.directory}.")]
    return Padding(Group(*parts), (1, 1))


def status_heading() -> RenderableType:
    """Return the command line whose output follows."""
    return Padding(Text.assemble(("$ ", "dim"), ("fleet-health status", "bold")), (0, 1, 1, 1))


def _symptoms(stage: Stage, symptoms: list[str]) -> Text:
    if symptoms:
        return Text(", ".join(symptoms), style="bold red")
    return Text("well", style="green") if stage.notify.is_ready else Text("…", style="dim")


def _last_upload(tally: Tally) -> Text:
    if tally.last_upload_at is None:
        return Text("never", style="dim")
    return Text(f"{time.monotonic() - tally.last_upload_at:.0f} s ago")


def _fix(row: AlertRow) -> Text:
    # A text in backticks is a command.
    prose_and_commands = enumerate(row["suggested_fix"].split("`"))
    return Text.assemble(("→ ", "bold"), *((part, "cyan" if i % 2 else "") for i, part in prose_and_commands))


def _when(stage: Stage, row: AlertRow) -> str:
    at = datetime.fromisoformat(row["detected_at_wall"])
    return f"{at:%H:%M:%S} UTC, {stage.elapsed_s:.0f} s after the start"
