"""The type `exec`: a command for each notification."""

from __future__ import annotations

from fleet_health.config.destinations.shared import DestinationType
from fleet_health.config.destinations.values import command
from fleet_health.config.key import Key

EXEC = DestinationType(
    about="Runs a command for each notification, with its JSON document on standard input. Exit status 0 means that it"
    " is delivered. No shell is involved. When the command ends or times out, every process that it started is killed.",
    keys={"command": Key(command, None, "The program and its arguments.")},
    required=("command",),
)
