"""The installer attacked: by who shares the machine, by who tampers with packages, and by releases that are no good."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.machine.deployment import ALERTS, CHECKOUT, CONFIG, QUICK_CONFIG, SERVICE, WHEELHOUSE, Service
from tests.machine.machine import Machine, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.machine.deployment import Installation

CURRENT = "/opt/fleet-health/current"
OURS = ("/opt/fleet-health", "/usr/local", "/etc/fleet-health", "/etc/logrotate.d/fleet-health")
UNIT = f"/usr/local/lib/systemd/system/{SERVICE}"

# What another user of the machine leaves in /tmp, under every name that an installer may look up there.
_MODULES = (
    "ensurepip",
    "importlib",
    "json",
    "pip",
    "re",
    "runpy",
    "setuptools",
    "site",
    "sitecustomize",
    "sysconfig",
    "venv",
)
_PROGRAMS = (
    "cp",
    "cut",
    "date",
    "dirname",
    "find",
    "getent",
    "install",
    "mktemp",
    "python3",
    "realpath",
    "rm",
    "sed",
    "stat",
)
_SET_TRAPS = f"""
set -eu
cd /tmp
for module in {" ".join(_MODULES)}; do echo 'open("/tmp/ran", "a").write(__name__ + " ")' >$module.py; done
mkdir -p bin
for program in {" ".join(_PROGRAMS)}; do
  printf '#!/bin/sh\\necho %s >>/tmp/ran\\nexec /usr/bin/%s "$@"\\n' $program $program >bin/$program
  cp bin/$program $program
done
chmod 755 bin/* {" ".join(_PROGRAMS)}
echo 'echo BASH_ENV >>/tmp/ran' >env.sh
"""
_HOSTILE = {
    "PATH": ":.:/tmp/bin:/usr/local/bin:/usr/bin:/usr/sbin:/bin",
    "BASH_ENV": "/tmp/env.sh",  # noqa: S108 - where strangers write is the point
    "BASH_FUNC_realpath%%": '() { echo function >>/tmp/ran; command realpath "$@"; }',
    "CDPATH": "/tmp",  # noqa: S108
    "IFS": "/",
    "PYTHONPATH": "/tmp",  # noqa: S108
    "PYTHONUSERBASE": "/tmp",  # noqa: S108
    "PIP_TARGET": "/tmp/target",  # noqa: S108
    "PIP_REQUIREMENT": "/tmp/nothing",  # noqa: S108
    "GIT_DIR": "/tmp",  # noqa: S108
    "TMPDIR": "/tmp",  # noqa: S108
}


@pytest.fixture(scope="module")
def machine(shown: dict[Path, str], installation: Installation) -> Iterator[Machine]:
    """A machine of this module's own."""
    with Machine(shown, kept=installation.kept) as machine:
        machine.run("useradd", "--create-home", "mallory")
        yield machine


@pytest.fixture
def service(machine: Machine) -> Service:
    """The service, installed and running with the quick configuration."""
    service = Service(machine)
    service.configure(QUICK_CONFIG)
    if service.property("ActiveState") != "active":
        service.control("start")
    return service


def install(
    machine: Machine, *arguments: str, umask: str = "022", checkout: str = CHECKOUT, **environment: str
) -> CompletedProcess[str]:
    """Run an installer in /tmp, as whoever has just looked around there does."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELHOUSE, "PIP_CONFIG_FILE": "/dev/null", **environment}
    # By `env`, so that the shell which sets the umask does not fall for what is meant for the installer.
    command = ["env", *(f"{name}={value}" for name, value in offline.items())]
    command += [f"{checkout}/packaging/install.sh", "--no-apt", *arguments]
    return machine.run("sh", "-c", f"cd /tmp && umask {umask} && exec {shlex.join(command)}", check=False)


def changed_checkout(machine: Machine, change: str) -> str:
    """Return a copy of the checkout in which a shell command has changed something."""
    machine.run("sh", "-c", f"rm -rf /srv/changed && cp -r {CHECKOUT} /srv/changed && cd /srv/changed && {change}")
    return "/srv/changed"


def writable_by_others(machine: Machine) -> list[str]:
    """Return what somebody else than root could change, of all that we have installed."""
    strangers = ("(", "!", "-type", "l", "-perm", "/022", "-o", "!", "-uid", "0", ")")
    return machine.run("find", *OURS, *strangers).stdout.splitlines()


def set_traps(machine: Machine) -> None:
    """Let another user fill /tmp, and see that it would do for somebody careless."""
    machine.run("runuser", "-u", "mallory", "--", "sh", "-c", _SET_TRAPS)
    machine.run("sh", "-c", "cd /tmp && /usr/bin/python3 -c 'import venv'; cat /tmp/ran && rm /tmp/ran")


def state(service: Service) -> dict[str, object]:
    """Return what an attempt that fails has to leave as it was."""
    machine = service.machine
    return {
        "pid": service.property("MainPID"),
        "current": machine.path(CURRENT).readlink(),
        "releases": sorted(path.name for path in machine.path("/opt/fleet-health").iterdir()),
        "unit": machine.path(UNIT).read_text(),
        "config": machine.path(CONFIG).read_text(),
    }


@pytest.mark.fault("S10", rig="R2")
def test_S10_what_is_installed_with_umask_000_is_closed_to_others(service: Service) -> None:
    """As `installation` was made: nobody but root can change any of it."""
    assert writable_by_others(service.machine) == []
    service.assert_undisturbed()


class Upgrade(NamedTuple):
    """An upgrade, and what was there before it and after it."""

    service: Service
    before: dict[str, object]
    result: CompletedProcess[str]
    ran: str
    target: bool


@pytest.fixture(scope="module")
def attacked(machine: Machine) -> Upgrade:
    """An upgrade with umask 077 where others have changed the release before, and have left their traps in /tmp."""
    service = Service(machine)
    service.configure(QUICK_CONFIG)
    before = state(service)
    old = str(before["current"])
    evil = f"echo evil >{old}/evil; mkdir /opt/fleet-health/9.9; ln -s /etc '{old}/a link'"
    machine.run("chmod", "-R", "o+w", "/opt/fleet-health")
    machine.run("runuser", "-u", "mallory", "--", "sh", "-c", evil)
    set_traps(machine)

    result = install(machine, umask="077", **_HOSTILE)

    ran = machine.run("cat", "/tmp/ran", check=False).stdout  # noqa: S108
    target = machine.path("/tmp/target").exists()  # noqa: S108
    machine.run("sh", "-c", "rm -rf /tmp/*")
    return Upgrade(service, before, result, ran, target)


@pytest.mark.fault("S10", rig="R2")
def test_S10_a_stranger_s_modules_and_programs_in_tmp_are_not_run(attacked: Upgrade) -> None:
    """Root installs in /tmp with a careless PATH and an odd environment: nothing of /tmp is run."""
    assert attacked.ran == ""
    assert "alert-log.conf" not in attacked.result.stderr
    assert not attacked.target
    assert attacked.result.returncode == 0, attacked.result.stdout + attacked.result.stderr
    attacked.service.assert_undisturbed()


@pytest.mark.fault("S10", rig="R2")
def test_S10_an_upgrade_with_umask_077_of_a_release_that_everybody_could_write(attacked: Upgrade) -> None:
    """The service can read the new release and runs; the old one is gone, with what others have put there."""
    service, before, result = attacked.service, attacked.before, attacked.result
    machine = service.machine

    assert result.returncode == 0, result.stdout + result.stderr
    assert f"others could write in {before['current']}" in result.stdout
    assert writable_by_others(machine) == []
    new = machine.path(CURRENT).readlink()
    assert state(service)["releases"] == sorted([new.name, "current"])
    assert machine.path("/etc/passwd").exists()
    assert service.property("MainPID") != before["pid"]
    service.assert_undisturbed()


@pytest.mark.fault("S10", rig="R2")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("chmod o+w packaging", "packaging can be changed by everybody"),
        ("chmod o+w .", "/srv/changed can be changed by everybody"),
        ("chmod 1777 fleet_health/model", "fleet_health/model can be changed by everybody"),
        ("chmod o+w fleet_health/__main__.py", "__main__.py can be changed by everybody"),
        ("chown mallory requirements/release.txt", "release.txt can be changed by mallory"),
        (
            "chgrp users packaging/sbom.py && chmod g+w packaging/sbom.py && gpasswd -a mallory users",
            "by the group users",
        ),
        ("chmod o+w /srv", "/srv can be changed by everybody"),
    ],
)
def test_S10_a_checkout_that_others_can_change_is_refused(service: Service, change: str, said: str) -> None:
    """Root runs what is in it, so nobody but root and its owner may be able to put something there."""
    before = state(service)

    result = install(service.machine, checkout=changed_checkout(service.machine, change))
    service.machine.run("chmod", "o-w", "/srv")

    assert result.returncode == 1
    assert said in result.stderr
    assert state(service) == before


@pytest.mark.fault("S10", rig="R2")
def test_S10_a_package_with_another_hash_is_refused(service: Service) -> None:
    """Who can put a file where pip looks for packages cannot put code into a release."""
    machine, before = service.machine, state(service)
    tampered = 'for wheel in aiofiles*.whl setuptools-*.whl; do printf x >>"$wheel"; done'
    copied = f"rm -rf /srv/tampered && cp -r {WHEELHOUSE} /srv/tampered"
    machine.run("sh", "-c", f"{copied} && cd /srv/tampered && {tampered}")

    result = install(machine, PIP_FIND_LINKS="/srv/tampered")

    assert result.returncode == 1
    assert "HASH" in result.stderr.upper()
    assert state(service) == before
    service.assert_undisturbed()


@pytest.mark.fault("S10", rig="R2")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("echo 'raise SystemExit(3)' >>fleet_health/cli/main.py", "cannot be built"),
        (
            "echo 'def run(options): raise RuntimeError' >>fleet_health/cli/commands/check.py",
            "it fails on your index and journal",
        ),
    ],
)
def test_S10_a_release_that_does_not_work_is_not_switched_to(service: Service, change: str, said: str) -> None:
    """It is tried as the service's user first, and what a trial cannot show is said; the running service goes on."""
    service.configure(QUICK_CONFIG.replace(ALERTS, "/srv/alerts.jsonl"))
    before = state(service)

    result = install(service.machine, checkout=changed_checkout(service.machine, change))

    assert result.returncode != 0
    assert said in result.stderr
    assert ("alert-log.conf" in result.stderr) == ("index and journal" in said)
    assert state(service) == before
    service.assert_undisturbed()


@pytest.mark.fault("S10", rig="R2")
def test_S10_a_configuration_that_the_release_refuses_stops_the_upgrade(service: Service) -> None:
    """The service would not start with it; so the running one, which has the old one in memory, goes on."""
    service.configure(f"unheard_of = 1\n{QUICK_CONFIG}")
    before = state(service)

    result = install(service.machine)

    assert result.returncode == 1
    assert f"it refuses {CONFIG}" in result.stderr
    assert "unheard_of" in result.stderr
    assert state(service) == before
    service.assert_undisturbed()


@pytest.mark.fault("S10", rig="R2")
def test_S10_a_configuration_that_the_service_may_not_read_stops_the_upgrade(service: Service) -> None:
    """Before anything is built: no release could read it."""
    service.machine.run("chmod", "600", CONFIG)
    before = state(service)

    result = install(service.machine)

    assert result.returncode == 1
    assert f"the user fleet-health may not read {CONFIG}" in result.stderr
    assert "building" not in result.stdout
    assert state(service) == before
    service.assert_undisturbed()


@pytest.mark.fault("S10", rig="R2")
@pytest.mark.parametrize("end", ["it fails", "it is interrupted"])
def test_S10_a_release_that_does_not_start_is_rolled_back(service: Service, end: str) -> None:
    """What only a start can show: the files, the release and the service are put back, and the exit status tells."""
    machine, before = service.machine, state(service)
    line = "ExecStartPre=/bin/sh -c 'exit 9'" if end == "it fails" else "ExecStartPre=/bin/sleep infinity"
    checkout = changed_checkout(machine, f'sed -i "s|^ExecStart=|{line}\\n&|" packaging/{SERVICE}')
    if end == "it fails":
        result = install(machine, checkout=checkout)
        assert "the new release does not start" in result.stderr
    else:
        machine.run("systemd-run", "--unit=upgrade", f"--setenv=PIP_FIND_LINKS={WHEELHOUSE}", "--setenv=PIP_NO_INDEX=1",
                    "--property=KillMode=process", f"{checkout}/packaging/install.sh", "--no-apt")  # fmt: skip
        eventually(lambda: service.property("ActiveState") == "activating", "the start of the new release")
        machine.run("systemctl", "stop", "upgrade")
        result = None
        eventually(lambda: service.property("ActiveState") == "active", "the old release at work again")

    assert result is None or result.returncode == 1
    after = state(service)
    assert {**after, "pid": 0} == {**before, "pid": 0}
    assert after["pid"] not in {before["pid"], "0"}
    service.assert_undisturbed()


@pytest.mark.fault("S10", rig="R2")
def test_S10_tmpfiles_and_purge_follow_no_link_of_the_service_s_user(service: Service) -> None:
    """The service's user owns its directory; root's tools that work in there touch nothing outside of it."""
    machine = service.machine
    service.control("stop")
    machine.run("sh", "-c", "mkdir -p /srv/precious && echo gold >/srv/precious/gold && chmod 600 /srv/precious/gold")
    as_service = ("runuser", "-u", "fleet-health", "--", "sh", "-c")

    def precious() -> str:
        return machine.run("stat", "--format=%n %U %a %s", "/srv/precious", "/srv/precious/gold").stdout

    before = precious()
    machine.run(*as_service, f"rm -f {ALERTS}; ln -s /srv/precious/gold {ALERTS}")
    machine.run("systemd-tmpfiles", "--create", "fleet-health.conf", check=False)
    machine.run(*as_service, f"rm -f {ALERTS}; ln -s /srv/precious/created {ALERTS}")
    machine.run("systemd-tmpfiles", "--create", "fleet-health.conf", check=False)

    assert precious() == before
    assert not machine.path("/srv/precious/created").exists()

    for obstacle in ("mkfifo", "mkdir"):
        machine.run(*as_service, f"rm -rf {ALERTS}; {obstacle} {ALERTS}")
        machine.run("systemd-tmpfiles", "--create", "fleet-health.conf", check=False)
    machine.run(*as_service, "ln -s /srv/precious /var/lib/fleet-health/directory")
    result = install(machine, "--uninstall", "--purge")

    assert result.returncode == 0, result.stdout + result.stderr
    assert precious() == before
    assert not machine.path("/var/lib/fleet-health").exists()
