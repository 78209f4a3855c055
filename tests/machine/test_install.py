"""The installer: again, failing half-way, and back out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machine.deployment import ALERTS, CONFIG, Service
from tests.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CURRENT = "/opt/fleet-health/current"


@pytest.fixture(scope="module")
def machine(shown: dict[Path, str]) -> Iterator[Machine]:
    """A machine of this module's own: others are not to lose their service."""
    with Machine(shown) as machine:
        yield machine


@pytest.fixture
def installed(machine: Machine) -> Service:
    """The service, installed and running, with an operator's configuration and one alert."""
    service = Service(machine)
    if not machine.path(CURRENT).is_symlink():
        service.install()
    machine.write(CONFIG, f'# mine\n[alerts]\npath = "{ALERTS}"\n')
    return service


def test_install_again(installed: Service) -> None:
    """Installing again runs the new release, and keeps the configuration, the alerts and the release before."""
    machine = installed.machine
    machine.run("sh", "-c", f'echo \'{{"host": "h"}}\' >>{ALERTS}')
    old, old_pid = machine.path(CURRENT).readlink(), installed.property("MainPID")

    installed.install()

    new = machine.path(CURRENT).readlink()
    assert new != old
    assert {entry.name for entry in machine.path("/opt/fleet-health").iterdir()} >= {old.name, new.name}
    assert installed.property("MainPID") != old_pid
    assert machine.path(CONFIG).read_text().startswith("# mine")
    assert installed.rows("h")
    assert installed.property("UnitFileState") == "enabled"
    installed.assert_undisturbed()


def test_failed_build(installed: Service) -> None:
    """When the new release cannot be built, the old one is still there, still current and still running."""
    machine = installed.machine
    releases, pid = sorted(machine.path("/opt/fleet-health").iterdir()), installed.property("MainPID")

    said = installed.install(find_links="/nowhere", check=False)

    assert "No matching distribution" in said
    assert sorted(machine.path("/opt/fleet-health").iterdir()) == releases
    assert installed.property("MainPID") == pid
    installed.assert_undisturbed()


def test_manual_and_completion(installed: Service) -> None:
    """Both pages are where man looks for them, and the completion where the shells do."""
    machine = installed.machine
    loaded = machine.run(
        "bash", "-c", ". /usr/local/share/bash-completion/completions/fleet-health; complete -p"
    ).stdout

    for page in ("fleet-health", "fleet-health-config"):
        # Debian has a link to share/man there, and man may go by that.
        assert machine.run("man", "--where", page).stdout.startswith(("/usr/local/share/man/man", "/usr/local/man/man"))
    assert loaded.endswith(" fleet-health\n")
    assert machine.path("/usr/local/share/zsh/site-functions/_fleet-health").read_text().startswith("#compdef")


def test_uninstall(installed: Service) -> None:
    """Uninstalling leaves the configuration and the alert log; with --purge these go as well, and the user."""
    machine = installed.machine

    def left_behind() -> list[str]:
        find = machine.run("find", "/etc", "/opt", "/usr/local", "/var/lib", "-name", "*fleet-health*").stdout
        return sorted(find.split())

    installed.install("--uninstall")

    assert installed.property("LoadState") == "not-found"
    assert left_behind() == ["/etc/fleet-health", "/var/lib/fleet-health"]
    assert machine.path(CONFIG).exists()
    assert machine.path(ALERTS).exists()

    installed.install("--uninstall", "--purge")

    assert left_behind() == []
    assert machine.run("id", "fleet-health", check=False).returncode == 1
