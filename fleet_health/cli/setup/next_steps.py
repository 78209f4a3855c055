"""Print what a new installation watches, and the next steps. The installer calls this at its end.

`python -m fleet_health.cli.setup.next_steps CONFIG [--not-started]` reads a configuration file and writes to stdout.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.options import refuse
from fleet_health.cli.setup.service_view import obstacle
from fleet_health.cli.setup.units import units
from fleet_health.config.loading import load
from fleet_health.errors import ConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleet_health.cli.setup.units import Unit
    from fleet_health.config.schema import ReceiverSettings

_STEPS = (
    ("fleet-health status", "the fleet now; systemctl status fleet-health shows the service"),
    ("fleet-health follow", "alerts as they are sent"),
    ("man fleet-health", "every command, with examples"),
)
_SERVICE = "fleet-health.service"
_DOCUMENTS = "/usr/local/share/doc/fleet-health"


def next_steps(receivers: Sequence[ReceiverSettings], config: Path, *, is_started: bool = True) -> Iterator[str]:
    """Yield lines about the sources of each receiver, whether they exist, and the next steps.

    Args:
        receivers: The receivers.
        config: The configuration file.
        is_started: Whether the installer has started the new release.

    """
    is_whole = True
    for receiver in receivers:
        yield f"Receiver {receiver.name}:" if receiver.name else "It watches:"
        for kind, name, state, is_good in _watched(receiver):
            is_whole &= is_good
            yield printable(f"  {kind:<6} {name}  {state}")
    yield ""
    yield "What to do next:"
    steps = [] if is_whole else [("fleet-health setup", f"look for your receiver, and write {config}")]
    if not is_started:
        steps.append(_start())
    elif not is_whole:
        steps.append(("fleet-health reload", "apply it"))
    yield from _aligned(*steps, *_STEPS)
    yield f"Notifications on your phone, by mail and to other tools: {_DOCUMENTS}/notifications.md"


def _watched(receiver: ReceiverSettings) -> Iterator[tuple[str, str, str, bool]]:
    journal = receiver.journal
    known = units(journal.units) if journal.units else []
    for name in journal.units:
        yield "unit", name, *_state_of(name, known)
    for fields in journal.match:
        yield "lines", " ".join(fields), "", True
    path = receiver.index.path
    reason = obstacle(path)
    yield "index", str(path), reason or "exists, and can be read", not reason


def _state_of(name: str, known: Sequence[Unit] | None) -> tuple[str, bool]:
    """Return the state of a unit in a clause, and whether it exists."""
    if known is None:
        return "systemd cannot be asked about it here", True
    if "*" in name or "?" in name or "[" in name:
        return f"stands for {len(known)} units that are loaded now", True
    unit = next((unit for unit in known if unit.name == name), None)
    if unit is None or not unit.is_known:
        return "systemd knows no such unit", False
    return unit.state, True


def _start() -> tuple[str, str]:
    """Return the command that starts the installed release, and its purpose. An earlier release may be running."""
    known = units([_SERVICE])
    if known and known[0].is_running:
        return "systemctl restart fleet-health", "run the new release"
    return "systemctl enable --now fleet-health", "start the service, now and at each boot"


def _aligned(*rows: tuple[str, str]) -> Iterator[str]:
    width = max(len(command) for command, _ in rows)
    for command, purpose in rows:
        yield f"  {command:<{width}}  {purpose}"


def main(path: Path, *, is_started: bool) -> int:
    """Print the lines, and return the exit status."""
    try:
        receivers = load(path).receivers
    except ConfigError as error:
        return refuse(error)
    print("\n".join(next_steps(receivers, path, is_started=is_started)))  # noqa: T201 - stdout is what this is for
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--not-started"]):  # noqa: PLR2004 - the program, and one more
        sys.exit(f"usage: {Path(sys.executable).name} -m fleet_health.cli.setup.next_steps CONFIG [--not-started]")
    sys.exit(main(Path(sys.argv[1]), is_started=not sys.argv[2:]))
