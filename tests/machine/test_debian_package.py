"""The Debian package, from its installation to its purge, without a network.

It is tested on the Debian that this machine is. `packaging/debian/test RELEASE` makes a minimal root of another one,
and names it in MACHINE_ROOT.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.machine.deployment import (
    ALERTS,
    CONFIG,
    PACKAGES,
    QUICK_CONFIG,
    SERVICE,
    Receiver,
    Service,
    added,
    assert_none_doubled,
    dpkg,
    everything,
)
from tests.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(os.environ.get("MACHINE_ROOT", "/"))
POLICY = "/usr/sbin/policy-rc.d"
SOCKET = "fleet-health-http.socket"
OPERATORS_CONFIG = f"# mine\n{QUICK_CONFIG}"


@pytest.fixture(scope="module")
def machine(shown: dict[Path, str], packages: Path) -> Iterator[Machine]:
    """A machine of this module's own, on which the receiver runs."""
    with Machine({**shown, packages: PACKAGES}, root=ROOT) as machine:
        # A container of Debian's has one.
        machine.run("rm", "-f", POLICY)
        # Or man-db would go through all manual pages of this machine, each time.
        machine.run("rm", "-f", "/var/lib/man-db/auto-update")
        Receiver(machine).start()
        yield machine


_ASK = """
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:9490/v1/status").status)
"""


def test_from_installation_to_purge(machine: Machine) -> None:
    """Installed, upgraded while alerts are due, downgraded, removed, installed again and purged: nothing is left."""
    service, receiver = Service(machine), Receiver(machine)
    before = everything(machine)

    # An administrator who forbids services to start.
    machine.write(POLICY, "#!/bin/sh\nexit 101\n", mode=0o755)
    said = dpkg(machine, "--install", f"{PACKAGES}/old.deb")
    assert "It watches:\n  unit   cis490-receiver.service  active" in said
    states = [machine.properties(unit, "ActiveState", "UnitFileState") for unit in (SERVICE, SOCKET)]
    assert states == [
        {"ActiveState": "inactive", "UnitFileState": "enabled"},
        {"ActiveState": "inactive", "UnitFileState": "disabled"},
    ]
    machine.run("rm", POLICY)
    service.configure(OPERATORS_CONFIG)
    machine.run("systemctl", "enable", "--now", SOCKET)
    service.control("start")
    service.assert_undisturbed()
    assert "fleet-health: " in machine.run("journalctl", "--list-catalog").stdout
    assert machine.run("fleet-health", "config", "check").returncode == 0
    receiver.upload("refused-host", times=3)
    service.wait_for_alert("refused-host", "fatal-only")

    # They fall silent while it is replaced.
    due = [f"due-{number}" for number in range(4)]
    for host in due:
        receiver.upload(host)
    pid = service.property("MainPID")
    dpkg(machine, "--install", f"{PACKAGES}/new.deb")
    assert service.property("MainPID") not in {pid, "0"}
    for host in due:
        service.wait_for_alert(host, "silent")
    service.assert_undisturbed()

    dpkg(machine, "--install", f"{PACKAGES}/old.deb")
    service.assert_undisturbed()
    dpkg(machine, "--remove", "fleet-health")
    assert service.property("LoadState") == "not-found"
    assert machine.path(CONFIG).read_text() == OPERATORS_CONFIG
    assert machine.path(ALERTS).exists()

    dpkg(machine, "--install", f"{PACKAGES}/new.deb")
    assert machine.path(CONFIG).read_text() == OPERATORS_CONFIG
    assert machine.properties(SOCKET, "ActiveState", "NAccepted") == {"ActiveState": "active", "NAccepted": "0"}
    assert machine.run("python3", "-c", _ASK).stdout == "200\n"
    # Once this one is told, the others have been found again as well.
    receiver.upload("unstamped-host", times=3, stamped=False)
    service.wait_for_alert("unstamped-host", "unstamped")
    service.assert_undisturbed()
    for host in ("refused-host", *due):
        assert_none_doubled(service.rows(host))
        assert_none_doubled(service.entries(host))

    service.override("Nice=1")
    installed = everything(machine) - before
    dpkg(machine, "--purge", "fleet-health")
    assert {"/usr/bin/fleet-health", "/usr/share/man/man1/fleet-health.1.gz"} <= installed
    assert added(machine, before) == []
    assert sorted(before - everything(machine)) == []
