"""`fleet-health setup` on a machine with a real receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machine.deployment import CONFIG, SERVICE, Receiver
from tests.machine.machine import Machine, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.machine.deployment import Installation

PROGRAM = "/usr/local/bin/fleet-health"


@pytest.fixture(scope="module")
def machine(shown: dict[Path, str], installation: Installation) -> Iterator[Machine]:
    """A machine with a uvicorn under a name of its own, and fleet-health as it is installed."""
    with Machine(shown, kept=installation.kept) as machine:
        receiver = Receiver(machine, name="lab-uploads", unit="lab.service", port=8491)
        receiver.start()
        for host in ("pi-01", "pi-02", "refused-host"):
            receiver.upload(host, times=3)
        machine.run("journalctl", "--sync")
        yield machine


def test_from_an_installation_to_a_service_that_watches(machine: Machine) -> None:
    """The guess is the unit and the index of the real receiver, and after a reload the service follows both."""
    done = machine.run(PROGRAM, "setup", "--yes")

    assert "Guessed: lab.service is a receiver." in done.stdout
    assert 'unit = "lab.service"' in machine.path(CONFIG).read_text()
    assert 'path = "/var/lib/lab-uploads/index.jsonl"' in machine.path(CONFIG).read_text()
    assert "WARNING" not in done.stdout
    assert machine.run(PROGRAM, "config", "check").returncode == 0
    assert "fleet-health reload" in done.stdout
    machine.run("systemctl", "restart", SERVICE)
    eventually(lambda: "pi-01" in machine.run(PROGRAM, "status", check=False).stdout, "the hosts of the receiver")


def test_it_says_what_the_service_could_not_read(machine: Machine) -> None:
    """By the rights of the service's user, and by what the unit hides."""
    machine.run("chmod", "700", "/var/lib/lab-uploads")
    try:
        closed = machine.run(PROGRAM, "setup", "--yes", "--config", "/root/new.toml")
    finally:
        machine.run("chmod", "755", "/var/lib/lab-uploads")

    assert "the user fleet-health may not read it; others may not enter /var/lib/lab-uploads" in closed.stdout


def test_without_rights_it_says_whom_to_ask(machine: Machine) -> None:
    """A user who may not read the journal, or not write the configuration."""
    machine.run("useradd", "visitor")
    as_visitor = ("setpriv", "--reuid=visitor", "--regid=visitor", "--clear-groups", PROGRAM, "setup")

    unwritable = machine.run(*as_visitor, "--yes", check=False)
    unreadable = machine.run(*as_visitor, "--print", check=False)

    assert (unwritable.returncode, unreadable.returncode) == (2, 2)
    assert f"{CONFIG}: visitor may not write in /etc/fleet-health; run this as root" in unwritable.stderr
    assert (
        "run this command as root, or join group systemd-journal (`usermod -aG systemd-journal visitor`"
        in unreadable.stderr
    )
