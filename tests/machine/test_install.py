"""The installer: again, failing half-way, and back out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machine.deployment import ALERTS, CONFIG, DROP_INS, PACKAGES, Service, added, dpkg, everything
from tests.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.machine.deployment import Installation

CURRENT = "/opt/fleet-health/current"


@pytest.fixture(scope="module")
def machine(shown: dict[Path, str], installation: Installation) -> Iterator[Machine]:
    """A machine of this module's own: others are not to lose their service."""
    with Machine(shown, kept=installation.kept) as machine:
        yield machine


def with_an_operator(machine: Machine) -> Service:
    """Return the service of a machine, which has an operator's configuration and one alert."""
    machine.write(CONFIG, f'# mine\n[alerts]\npath = "{ALERTS}"\n')
    machine.run("sh", "-c", f'echo \'{{"host": "h"}}\' >>{ALERTS}')
    return Service(machine)


@pytest.fixture
def new_machine(shown: dict[Path, str], packages: Path, installation: Installation) -> Iterator[Machine]:
    """A machine that loses its service in the test."""
    with Machine({**shown, packages: PACKAGES}, kept=installation.kept) as machine:
        yield machine


def extras(machine: Machine) -> dict[str, bool]:
    """Return which packages the service could load that not every release has."""
    names = ("matplotlib", "apprise")
    imports = {name: (f"{CURRENT}/bin/python", "-I", "-c", f"import {name}") for name in names}
    return {name: machine.run(*command, check=False).returncode == 0 for name, command in imports.items()}


@pytest.fixture(scope="module")
def upgraded(machine: Machine) -> Service:
    """The service, upgraded to a release that has all there is; asserts what holds of any upgrade."""
    service = with_an_operator(machine)
    old, old_pid = machine.path(CURRENT).readlink(), service.property("MainPID")

    service.install("--with-plot", "--with-apprise")

    new = machine.path(CURRENT).readlink()
    assert new != old
    assert {entry.name for entry in machine.path("/opt/fleet-health").iterdir()} >= {old.name, new.name}
    assert service.property("MainPID") != old_pid
    return service


def test_install_again(upgraded: Service) -> None:
    """Installing again runs the new release, and keeps the configuration, the alerts and the release before."""
    assert upgraded.machine.path(CONFIG).read_text().startswith("# mine")
    assert upgraded.rows("h")
    assert upgraded.property("UnitFileState") == "enabled"
    upgraded.assert_undisturbed()


def test_failed_build(upgraded: Service) -> None:
    """When the new release cannot be built, the old one is still there, still current and still running."""
    machine = upgraded.machine
    releases, pid = sorted(machine.path("/opt/fleet-health").iterdir()), upgraded.property("MainPID")

    said = upgraded.install(find_links="/nowhere", check=False)

    assert "No matching distribution" in said
    assert sorted(machine.path("/opt/fleet-health").iterdir()) == releases
    assert upgraded.property("MainPID") == pid
    upgraded.assert_undisturbed()


def test_extras_are_kept_over_upgrades(upgraded: Service) -> None:
    """Until an installation is to leave them out."""
    before = extras(upgraded.machine)
    kept = upgraded.install(find_links="/nowhere", check=False)
    said = upgraded.install("--without-plot")

    assert before == {"matplotlib": True, "apprise": True}
    assert ("keeping matplotlib" in kept, "keeping apprise" in kept) == (True, True)
    assert ("keeping matplotlib" in said, "keeping apprise" in said) == (False, True)
    assert extras(upgraded.machine) == {"matplotlib": False, "apprise": True}


def test_next_steps(machine: Machine, installation: Installation) -> None:
    """The end of the installation says what is watched, whether that exists, and what to do next."""
    _, _, end = installation.said.partition("==> done: fleet-health is installed\n")
    assert "unit   cis490-receiver.service  systemd knows no such unit" in end
    assert "index  /var/lib/cis490/index.jsonl  it does not exist" in end
    assert "fleet-health status" in end

    machine.run("install", "-D", "-m", "600", "/dev/null", "/srv/uploads/index.jsonl")
    machine.write("/etc/systemd/system/mine.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    machine.run("systemctl", "start", "mine.service")
    machine.write(CONFIG, '[journal]\nunit = "mine.service"\n[index]\npath = "/srv/uploads/index.jsonl"\n')
    ends = (f"{CURRENT}/bin/python", "-I", "-m", "fleet_health.cli.setup.next_steps", CONFIG)  # as install.sh does

    closed = machine.run(*ends).stdout
    wrong = machine.run("fleet-health", "config", "check", check=False)
    machine.run("chmod", "644", "/srv/uploads/index.jsonl")
    opened = machine.run(*ends).stdout

    assert "unit   mine.service  active" in closed
    assert (
        wrong.returncode,
        "problem: /srv/uploads/index.jsonl: the user fleet-health may not read it" in wrong.stderr,
    ) == (3, True)
    assert "the user fleet-health may not read it; others may not read the file" in closed
    assert "index  /srv/uploads/index.jsonl  exists, and can be read" in opened
    assert "fleet-health setup" in closed
    assert "fleet-health setup" not in opened


def test_manual_and_completion(machine: Machine) -> None:
    """Both pages are where man looks for them, and the completion where the shells do."""
    loaded = machine.run(
        "bash", "-c", ". /usr/local/share/bash-completion/completions/fleet-health; complete -p"
    ).stdout

    for page in ("fleet-health", "fleet-health-config"):
        # Debian has a link to share/man there, and man may go by that.
        assert machine.run("man", "--where", page).stdout.startswith(("/usr/local/share/man/man", "/usr/local/man/man"))
        assert page in machine.run("whatis", page).stdout
    assert "fleet-health (1)" in machine.run("apropos", "hosts", "fleet").stdout
    assert loaded.endswith(" fleet-health\n")
    assert machine.path("/usr/local/share/zsh/site-functions/_fleet-health").read_text().startswith("#compdef")


def test_uninstall_keeps_what_is_the_operators(new_machine: Machine) -> None:
    """The configuration and the alert log stay."""
    machine, service = new_machine, with_an_operator(new_machine)

    said = service.install("--uninstall")

    assert "keeping /etc/fleet-health, /var/lib/fleet-health, /var/lib/fleet-health-notify and the users" in said
    assert service.property("LoadState") == "not-found"
    find = machine.run("find", "/etc", "/opt", "/usr/local", "/var/lib", "-name", "*fleet-health*").stdout
    assert sorted(find.split()) == ["/etc/fleet-health", "/var/lib/fleet-health"]
    assert machine.path(CONFIG).exists()
    assert machine.path(ALERTS).exists()


def test_the_debian_package_takes_over(new_machine: Machine) -> None:
    """Its service goes on with the configuration, the alerts and what was enabled; nothing hides it any more."""
    machine, service = new_machine, with_an_operator(new_machine)
    machine.run("rm", "-f", "/usr/sbin/policy-rc.d")
    service.control("stop")
    machine.run("systemctl", "enable", "--now", "fleet-health-http.socket")
    service.control("start")
    service.override("ExecReload=/opt/fleet-health/current/bin/fleet-health config check")

    said = dpkg(machine, "--install", f"{PACKAGES}/new.deb")

    assert f"{DROP_INS}/test.conf names /opt/fleet-health" in said
    assert machine.path(CONFIG).read_text().startswith("# mine")
    assert service.rows("h")
    assert service.property("FragmentPath").endswith("/lib/systemd/system/fleet-health.service")
    service.assert_undisturbed()
    running = machine.run("cat", f"/proc/{service.property('MainPID')}/cmdline").stdout.split("\0")
    assert "/usr/bin/fleet-health" in running
    assert machine.properties("fleet-health-http.socket", "ActiveState") == {"ActiveState": "active"}
    left = machine.run("find", "/opt", "/usr/local", "/etc", "-name", "*fleet-health*").stdout
    assert [path for path in left.split() if not path.startswith("/etc/")] == []
    assert "/etc/logrotate.d/fleet-health.dpkg-bak" not in left.split()
    dpkg(machine, "--purge", "fleet-health")


def test_purge_leaves_nothing_behind(new_machine: Machine, installation: Installation) -> None:
    """On a machine as it was before: files, directories, users, groups with members, units, catalog, drop-ins."""
    machine, service = new_machine, Service(new_machine)
    before = everything(machine)
    machine.run("useradd", "anna")
    with_her = everything(machine) - before
    machine.run("usermod", "--append", "--groups", "fleet-health", "anna")
    service.override("Nice=1")
    machine.run("systemctl", "set-property", "fleet-health.service", "CPUWeight=20")

    installed = everything(machine) - installation.before
    said = service.install("--uninstall", "--purge")

    assert {"/usr/local/share/man/man5/fleet-health-config.5", "/usr/local/bin/fleet-health"} <= installed
    assert "these users were members of the group fleet-health: anna" in said
    assert added(machine, installation.before | with_her) == []
    assert sorted(installation.before - everything(machine)) == []
    again = service.install("--uninstall", "--purge")
    assert "fail" not in again
