"""What a real systemd logs about units, and what is made of it: whether the receiver is down, and its lines."""

from __future__ import annotations

import json
import shlex
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.sources.journal.samples import journal_command
from tests.machine.conftest import do_without_machine
from tests.machine.machine import Machine, MachineUnavailable, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).resolve().parents[2]
_CODE, _PACKAGES, _SITE = "/srv/code", "/srv/packages", "/srv/site"
_SETTINGS = """
index.path = "index.jsonl"
alerts.path = "alerts.jsonl"
state.directory = "."
control.path = "control.sock"
receiver.down.after = "1ms"
"""


def response(host: str) -> str:
    """Make the line of a response."""
    return f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e1 HTTP/1.1" 201'


class Systemd(Machine):
    """A machine on which commands of fleet-health are run, and no service of it."""

    def service(
        self, unit: str, *lines: str, then: str = "exec sleep 1000", service: str = "", general: str = ""
    ) -> None:
        """Add a service that logs some lines, and then does something."""
        script = f"/srv/scripts/{unit}"
        self.write(script, "".join(f"echo '{line}' | sed s/%i/$1/\n" for line in lines) + then)
        self.write(
            f"/etc/systemd/system/{unit}",
            f"[Unit]\n{general}\n[Service]\nExecStart=/bin/sh {script} %i\nSyslogIdentifier=app\n{service}\n",
        )

    def control(self, *arguments: str, check: bool = True) -> None:
        """Run systemctl."""
        self.run("systemctl", *arguments, check=check)

    def is_down(self, settings: str) -> bool:
        """Return whether `fleet-health check` reports that the receiver is down."""
        self.write(f"{_SITE}/index.jsonl", "")
        self.write(f"{_SITE}/config.toml", f"{_SETTINGS}{settings}\n")
        done = self._python("-m", "fleet_health", "check", "--dry-run", "--config", f"{_SITE}/config.toml")
        return "receiver-down" in done

    def read(self, *settings: str) -> list[tuple[bool | None, list[str]]]:
        """Return whether the receiver runs, and which hosts it has answered, by each of some configurations."""
        lines = self._python(f"{_CODE}/tests/machine/read_journal.py", *settings).splitlines()
        return [(is_running, hosts) for is_running, hosts in map(json.loads, lines)]

    def hosts(self, settings: str) -> list[str]:
        """Return which hosts the receiver has answered."""
        return self.read(settings)[0][1]

    def shown_by_the_command(self, settings: str, host: str) -> str:
        """Return what the command in an alert shows."""
        self.write(f"{_SITE}/config.toml", settings)
        command = journal_command(load(self.path(f"{_SITE}/config.toml")).receivers[0].journal, host, 0)
        return self.run(*shlex.split(command), "--output=cat", "--quiet", check=False).stdout

    def _python(self, *arguments: str) -> str:
        self.run("journalctl", "--sync")
        environment = {"PYTHONPATH": f"{_CODE}:{_PACKAGES}"}
        return self.run(str(Path(sys.executable).resolve()), *arguments, environment=environment).stdout


@pytest.fixture(scope="module")
def systemd() -> Iterator[Systemd]:
    """A machine that has just booted."""
    packages = Path(sysconfig.get_path("platlib"))
    try:
        with Systemd({_ROOT: _CODE, packages: _PACKAGES}) as machine:
            yield machine
    except MachineUnavailable as unavailable:
        do_without_machine(str(unavailable))


@pytest.mark.fault("G10", rig="R2", says="a receiver whose unit has LogNamespace=")
def test_G10_a_unit_that_logs_to_a_namespace(systemd: Systemd) -> None:
    """Its lines are in one journal, and what PID 1 logs about it is in another: both are read, and shown."""
    systemd.service("lab.service", response("in-lab"), service="LogNamespace=lab")
    systemd.control("daemon-reload")
    settings = 'journal.unit = "lab"\njournal.namespace = "lab"'
    systemd.control("start", "lab")
    eventually(lambda: systemd.run("journalctl", "--namespace=lab", "--unit=lab", "--quiet").stdout, "its line")

    assert not systemd.is_down(settings)
    assert systemd.hosts(settings) == ["in-lab"]
    systemd.control("kill", "--signal=KILL", "lab")
    eventually(lambda: systemd.is_down(settings), "that it is down")
    shown = systemd.shown_by_the_command(settings, "")
    assert ("/in-lab/" in shown, "Failed with result" in shown) == (True, True)


_NOTHING = {  # [Unit], [Service]
    "dependency": ("Requires=false.service\nAfter=false.service", ""),
    "condition": ("ConditionPathExists=/none", ""),
    "assertion": ("AssertPathExists=/none", ""),
    "exec-condition": ("", "ExecCondition=/bin/false"),
    "never-ready": ("", "Type=notify\nTimeoutStartSec=100ms"),
    "before-it": ("", "ExecStartPre=/bin/false"),
    "no-such-user": ("", "Type=exec\nUser=nobody-of-that-name"),
    "killed": ("", "Type=exec\nExecStartPost=/bin/sh -c 'kill -KILL $MAINPID'"),
}


@pytest.mark.fault("G10", rig="R2", says="a dependency failed, a condition or an assertion was not met")
def test_G10_a_start_that_comes_to_nothing(systemd: Systemd) -> None:
    """Under whatever id it is reported, that of a successful start included, a unit that does not run is down."""
    systemd.write("/etc/systemd/system/false.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n")
    for name, (general, service) in _NOTHING.items():
        systemd.service(f"{name}.service", general=general, service=service)
    systemd.control("daemon-reload")
    settings = [f'journal.unit = "{name}"' for name in _NOTHING]

    systemd.control("start", *_NOTHING, check=False)
    assert dict(zip(_NOTHING, systemd.read(*settings), strict=True)) == dict.fromkeys(_NOTHING, (False, []))
    for name in _NOTHING:
        systemd.service(f"{name}.service")
    systemd.control("daemon-reload")
    systemd.control("start", *_NOTHING)
    assert dict(zip(_NOTHING, systemd.read(*settings), strict=True)) == dict.fromkeys(_NOTHING, (True, []))
    systemd.control("stop", *_NOTHING)


@pytest.mark.fault("G10", rig="R2", says="a unit is started while it runs, and a dependency fails")
def test_G10_a_start_that_fails_ends_no_run(systemd: Systemd) -> None:
    """It runs on, whatever comes of that start; once it has ended, it is down."""
    systemd.write("/etc/systemd/system/false.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n")
    systemd.service("needy.service")
    systemd.control("daemon-reload")
    systemd.control("start", "needy")
    systemd.write("/etc/systemd/system/needy.service.d/x.conf", "[Unit]\nRequires=false.service\nAfter=false.service\n")
    systemd.control("daemon-reload")
    settings = 'journal.unit = "needy"'

    systemd.control("start", "needy", check=False)
    assert systemd.properties("needy.service", "SubState")["SubState"] == "running"
    assert "Dependency failed" in systemd.run("journalctl", "--unit=needy", "--quiet").stdout
    assert systemd.read(settings) == [(True, [])]
    systemd.control("stop", "needy")
    systemd.control("start", "needy", check=False)
    assert systemd.read(settings) == [(False, [])]


@pytest.mark.fault("G11", rig="R2", says="one of two instances of a template stops")
def test_G11_the_instances_of_a_template(systemd: Systemd) -> None:
    """They are one receiver: all their lines count, and it is down when the last of them is."""
    systemd.service("receiver@.service", response("host-%i"))
    systemd.control("daemon-reload")
    settings = 'journal.unit = "receiver@"'
    systemd.control("start", "receiver@1", "receiver@2")
    eventually(lambda: systemd.hosts(settings) == ["host-1", "host-2"], "their lines")

    systemd.control("stop", "receiver@1")
    assert not systemd.is_down(settings)
    systemd.control("kill", "--signal=KILL", "receiver@2")
    eventually(lambda: systemd.is_down(settings), "that both are down")
    systemd.control("start", "receiver@3")
    eventually(lambda: "host-3" in systemd.hosts(settings), "the line of another one")
    assert not systemd.is_down(settings)
    assert systemd.is_down('journal.unit = ["receiver@1", "receiver@2"]')


@pytest.mark.fault("G11", rig="R2", says="a socket-activated service stops when idle")
def test_G11_a_service_that_its_socket_starts(systemd: Systemd) -> None:
    """It is not down while its socket listens; it is when the socket is gone, too."""
    systemd.write("/etc/systemd/system/idle.socket", "[Socket]\nListenStream=/run/idle\n")
    systemd.service("idle.service", response("to-idle"), then="true")
    systemd.control("daemon-reload")
    systemd.control("start", "idle.socket")
    systemd.control("start", "idle.service")
    eventually(lambda: systemd.properties("idle.service", "SubState")["SubState"] == "dead", "its end")

    assert not systemd.is_down('journal.unit = "idle"')
    systemd.control("stop", "idle.socket")
    assert systemd.is_down('journal.unit = "idle"')


@pytest.mark.fault("G11", rig="R2", says="a proxy and an application log the same upload in one unit")
def test_G11_two_programs_in_one_unit(systemd: Systemd) -> None:
    """`journal.match` selects the lines of the unit as the command in the alert does."""
    # It stays: of a process that is gone already, journald does not know the unit.
    proxy = f"exec systemd-cat --identifier=proxy sh -c 'echo \"$0\"; exec sleep 1000' '{response('a')}'"
    systemd.service("two.service", response("a"), then=proxy)
    systemd.control("daemon-reload")
    systemd.control("start", "two")
    eventually(lambda: len(systemd.hosts('journal.unit = "two"')) == 2, "both lines")
    matches = {
        "": 2,  # each line counts
        "SYSLOG_IDENTIFIER=proxy": 1,
        "SYSLOG_IDENTIFIER=proxy _UID=1": 0,  # all fields must fit
        "SYSLOG_IDENTIFIER=proxy SYSLOG_IDENTIFIER=app": 2,  # of the values of a field, one
        "_UID=1 + SYSLOG_IDENTIFIER=app": 1,
    }
    settings = [
        f'[journal]\nunit = "two"\n{f"match = {json.dumps(match.split())}" if match else ""}' for match in matches
    ]

    assert systemd.read(*settings) == [(True, ["a"] * count) for count in matches.values()]
    for text, count in zip(settings, matches.values(), strict=True):
        assert systemd.shown_by_the_command(text, "a").count("/a/e1") == count
        assert "Started two.service" in systemd.shown_by_the_command(text, "")


@pytest.mark.fault("G10", rig="R2", says="a receiver that is a unit of a user")
def test_G10_a_unit_of_a_user(systemd: Systemd) -> None:
    """His manager reports on it; a unit of the same name that another user has is none of it."""
    systemd.run("useradd", "--uid=2001", "--create-home", "lab")
    systemd.run("useradd", "--uid=2002", "--create-home", "other")
    systemd.write("/etc/systemd/user/mine.service", "[Service]\nExecStart=/bin/sleep 1000\n")
    systemd.control("start", "user@2001", "user@2002")
    mine = '[journal]\nmatch = ["_SYSTEMD_USER_UNIT=mine.service", "_UID=2001"]'

    for user in ("lab", "other"):
        systemd.control("--user", f"--machine={user}@", "start", "mine")
    systemd.control("--user", "--machine=other@", "stop", "mine")
    assert systemd.read(mine) == [(True, [])]
    systemd.control("--user", "--machine=lab@", "stop", "mine")
    assert systemd.read(mine) == [(False, [])]
