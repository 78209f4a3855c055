"""The installer: again, failing half-way, and back out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machine.deployment import ALERTS, CONFIG, DROP_INS, PACKAGES, Service, dpkg
from tests.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CURRENT = "/opt/fleet-health/current"


@pytest.fixture(scope="module")
def machine(shown: dict[Path, str], packages: Path) -> Iterator[Machine]:
    """A machine of this module's own: others are not to lose their service."""
    with Machine({**shown, packages: PACKAGES}) as machine:
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


def test_next_steps(installed: Service) -> None:
    """The end of the installation says what is watched, whether that exists, and what to do next."""
    said = installed.install()

    _, _, end = said.partition("==> done: fleet-health is installed\n")
    assert "unit   cis490-receiver.service  systemd knows no such unit" in end
    assert "index  /var/lib/cis490/index.jsonl  it does not exist" in end
    assert "fleet-health status" in end

    machine = installed.machine
    machine.run("install", "-D", "-m", "600", "/dev/null", "/srv/uploads/index.jsonl")
    machine.write("/etc/systemd/system/mine.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    machine.run("systemctl", "start", "mine.service")
    machine.write(CONFIG, '[journal]\nunit = "mine.service"\n[index]\npath = "/srv/uploads/index.jsonl"\n')

    closed = installed.install()
    wrong = machine.run("fleet-health", "config", "check", check=False)
    machine.run("chmod", "644", "/srv/uploads/index.jsonl")
    opened = installed.install()

    assert "unit   mine.service  active" in closed
    assert (
        wrong.returncode,
        "problem: /srv/uploads/index.jsonl: the user fleet-health may not read it" in wrong.stderr,
    ) == (3, True)
    assert "the user fleet-health may not read it; others may not read the file" in closed
    assert "index  /srv/uploads/index.jsonl  exists, and can be read" in opened
    assert "fleet-health setup" in closed
    assert "fleet-health setup" not in opened
    machine.run("systemctl", "stop", "mine.service")
    machine.run("rm", "-r", "/etc/systemd/system/mine.service", "/srv/uploads")


def test_extras_are_kept_over_upgrades(installed: Service) -> None:
    """Until an installation is to leave them out."""
    has_them: list[tuple[bool, bool]] = []
    for arguments in (("--with-plot", "--with-apprise"), (), ("--without-plot", "--without-apprise")):
        installed.install(*arguments)
        imports = (f"import {name}" for name in ("matplotlib", "apprise"))
        plot, apprise = (
            installed.machine.run(f"{CURRENT}/bin/python", "-I", "-c", one, check=False).returncode for one in imports
        )
        has_them.append((plot == 0, apprise == 0))

    assert has_them == [(True, True), (True, True), (False, False)]


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
        assert page in machine.run("whatis", page).stdout
    assert "fleet-health (1)" in machine.run("apropos", "hosts", "fleet").stdout
    assert loaded.endswith(" fleet-health\n")
    assert machine.path("/usr/local/share/zsh/site-functions/_fleet-health").read_text().startswith("#compdef")


def test_uninstall_keeps_what_is_the_operators(installed: Service) -> None:
    """The configuration and the alert log stay, and an installation afterwards takes them as they are."""
    machine = installed.machine

    said = installed.install("--uninstall")

    assert "keeping /etc/fleet-health, /var/lib/fleet-health, /var/lib/fleet-health-notify and the users" in said
    assert installed.property("LoadState") == "not-found"
    find = machine.run("find", "/etc", "/opt", "/usr/local", "/var/lib", "-name", "*fleet-health*").stdout
    assert sorted(find.split()) == ["/etc/fleet-health", "/var/lib/fleet-health"]
    assert machine.path(CONFIG).exists()
    assert machine.path(ALERTS).exists()


def test_the_debian_package_takes_over(installed: Service) -> None:
    """Its service goes on with the configuration, the alerts and what was enabled; nothing hides it any more."""
    machine = installed.machine
    machine.run("rm", "-f", "/usr/sbin/policy-rc.d")
    installed.control("stop")
    machine.run("systemctl", "enable", "--now", "fleet-health-http.socket")
    installed.control("start")
    machine.run("sh", "-c", f'echo \'{{"host": "h"}}\' >>{ALERTS}')
    installed.override("ExecReload=/opt/fleet-health/current/bin/fleet-health config check")

    said = dpkg(machine, "--install", f"{PACKAGES}/new.deb")

    assert f"{DROP_INS}/test.conf names /opt/fleet-health" in said
    assert machine.path(CONFIG).read_text().startswith("# mine")
    assert installed.rows("h")
    assert installed.property("FragmentPath").endswith("/lib/systemd/system/fleet-health.service")
    installed.assert_undisturbed()
    running = machine.run("cat", f"/proc/{installed.property('MainPID')}/cmdline").stdout.split("\0")
    assert "/usr/bin/fleet-health" in running
    assert machine.properties("fleet-health-http.socket", "ActiveState") == {"ActiveState": "active"}
    left = machine.run("find", "/opt", "/usr/local", "/etc", "-name", "*fleet-health*").stdout
    assert [path for path in left.split() if not path.startswith("/etc/")] == []
    assert "/etc/logrotate.d/fleet-health.dpkg-bak" not in left.split()
    dpkg(machine, "--purge", "fleet-health")


# What programs of the system note by the way, in caches and backups of their own.
_NOTED = (
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-|/etc/\.pwd\.lock|/var/(cache/man|log/journal|lib/systemd)(/.*)?"
)


def everything(machine: Machine) -> set[str]:
    """Return every path of a machine, and every user, group member and unit of it."""
    find = "find /etc /home /opt /root /usr /var /run/systemd/system /run/fleet-health* -regextype posix-extended"
    queries = (
        f"{find} -not -regex '{_NOTED}' 2>/dev/null",
        "getent passwd",
        "getent group",
        "systemctl list-unit-files --no-legend --plain",
        "systemctl list-units --all --no-legend --plain 'fleet-health*'",
        "journalctl --list-catalog | grep -i fleet.health",
    )
    return {line for query in queries for line in machine.run("sh", "-c", query, check=False).stdout.splitlines()}


def test_purge_leaves_nothing_behind(shown: dict[Path, str]) -> None:
    """On a machine as it was before: files, directories, users, groups with members, units, catalog, drop-ins."""
    with Machine(shown) as machine:
        machine.run("useradd", "anna")
        before = everything(machine)
        service = Service(machine)
        service.install()
        service.install()
        machine.run("usermod", "--append", "--groups", "fleet-health", "anna")
        service.override("Nice=1")
        machine.run("systemctl", "set-property", "fleet-health.service", "CPUWeight=20")

        installed = everything(machine) - before
        said = service.install("--uninstall", "--purge")

        assert {"/usr/local/share/man/man5/fleet-health-config.5", "/usr/local/bin/fleet-health"} <= installed
        assert "these users were members of the group fleet-health: anna" in said
        after = everything(machine)
        assert sorted(after - before) == []
        assert sorted(before - after) == []
        again = service.install("--uninstall", "--purge")
        assert "fail" not in again
