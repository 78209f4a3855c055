"""The commands, one module each, which is imported only when the command is called and has `add_parser`."""

from __future__ import annotations

SUMMARIES = {
    "run": "run the service",
    "setup": "find the receiver on this machine, and write the configuration",
    "status": "show the state of the fleet",
    "explain": "show why a host is reported, or why not",
    "follow": "print alerts and resolutions as they are sent",
    "notify": "send alerts and resolutions to phones, mailboxes and other services",
    "check": "evaluate the fleet once, by hand or from a timer",
    "replay": "show what would have fired in the past",
    "suggest": "show which limits would have suited the hosts of the past better",
    "reload": "show what a changed configuration would fire and resolve, and apply it",
    "silence": "suppress the alerts of some hosts for a while",
    "config": "check a configuration, or show the settings in force",
    "patterns": "try the configuration's patterns on real lines",
    "demo": "show fleet-health at work: a receiver, four hosts, and the service that reports three of them",
    "install-units": "install the systemd units for a program that pipx or uv has installed",
    "completion": "print the completion script of a shell",
}
"""Command -> its line in the list of commands, which is printed without importing them."""
