"""The unit as systemd sees it: start, status, reload, stop, and the confinement it runs in."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.machine.deployment import CHECKOUT, CONFIG, DROP_INS, QUICK_CONFIG, SERVICE
from tests.machine.machine import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.machine.deployment import Receiver, Service


def test_start_returns_when_ready(disturbed_service: Service) -> None:
    """`systemctl start` returns with the unit active, and its status already says something."""
    service = disturbed_service
    service.control("stop")

    service.control("start")

    seen = service.machine.properties(SERVICE, "ActiveState", "StatusText", "Type")
    assert seen["ActiveState"] == "active"
    assert seen["StatusText"]
    service.assert_undisturbed()


def test_status_is_for_operators(service: Service) -> None:
    """`systemctl status` shows the status text that the service gives."""
    text = eventually(lambda: service.property("StatusText"), "a status text")

    shown = service.machine.run("systemctl", "status", "--no-pager", SERVICE).stdout

    assert text.startswith("Watching ")
    assert 'Status: "Watching ' in shown


def test_the_operators_socket_is_for_the_group_of_the_service(disturbed_service: Service) -> None:
    """Who is a member may ask and silence, and who is not is told so; after a kill it is there again."""
    service = disturbed_service
    machine, socket = service.machine, "/run/fleet-health/control.sock"
    service.control("stop")
    absent = machine.run("fleet-health", "status", check=False)
    service.control("start")
    seen = machine.run("stat", "--format=%A %U %G", socket).stdout
    machine.run("systemctl", "kill", "--signal=KILL", SERVICE)

    def run_by(*as_whom: str, words: tuple[str, ...] = ("status", "--json")) -> subprocess.CompletedProcess[str]:
        return machine.run("setpriv", "--reuid=nobody", *as_whom, "fleet-health", *words, check=False)

    member = ("--regid=nogroup", "--groups=fleet-health")
    eventually(lambda: run_by(*member).returncode != 4, "an answer")
    made = run_by(*member, words=("silence", "no-such-*", "--for", "1h", "--reason", "a test"))
    listed = run_by(*member, words=("silence", "list"))
    ended = run_by(*member, words=("silence", "end", made.stdout.partition(":")[0]))
    stranger = run_by("--regid=nogroup", "--clear-groups", words=("silence", "pi", "--for", "1h", "--reason", "a test"))

    assert seen == "srw-rw---- fleet-health fleet-health\n"
    assert (absent.returncode, "is not running" in absent.stderr) == (4, True)
    assert run_by("--regid=nogroup", "--clear-groups").returncode == 5
    assert run_by("--regid=fleet-health", "--clear-groups").returncode in {0, 1, 3}
    assert (made.returncode, listed.returncode, ended.returncode) == (0, 0, 0)
    assert "no-such-* until " in listed.stdout
    assert ", by nobody: a test" in listed.stdout
    assert (stranger.returncode, "usermod -aG fleet-health nobody" in stranger.stderr) == (5, True)


def test_reload_takes_effect(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """After a reload the new limits evaluate what was seen before it as well."""
    host, other = new_host("unstamped"), new_host("unstamped")
    receiver.upload(host, stamped=False)
    receiver.upload(other, times=3, stamped=False)
    service.wait_for_alert(other, "unstamped")
    assert service.rows(host) == []

    service.configure(QUICK_CONFIG.replace("min_count = 3", "min_count = 1"))
    service.control("reload")

    service.wait_for_alert(host, "unstamped")


@pytest.mark.fault("D2", rig="R2")
def test_D2_refused_reload_changes_nothing(
    service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """A bad configuration fails the reload, every problem is in the log and one in the status; the old one goes on."""
    service.configure(QUICK_CONFIG.replace('tick = "1s"', 'tick = "soon"\ntock = 1'))
    reload = service.machine.run("systemctl", "reload", SERVICE, check=False)

    assert (reload.returncode, "Job for fleet-health.service failed" in reload.stderr) == (1, True)
    assert service.property("ActiveState") == "active"
    eventually(lambda: "refused" in service.property("StatusText"), "a word about it in the status")
    eventually(lambda: all(key in service.log() for key in ("tick", "tock")), "both problems in the log")
    host = new_host("unstamped")
    receiver.upload(host, times=3, stamped=False)
    service.wait_for_alert(host, "unstamped")


def test_a_reload_by_the_drop_in_fails_for_a_bad_configuration(service: Service) -> None:
    """By its own command; the signal beside it is systemd's, from 253 on."""
    drop_in = service.machine.path("/usr/local/share/doc/fleet-health/drop-ins/notify-reload.conf").read_text()
    commands = [line for line in drop_in.splitlines() if line.startswith("ExecReload=")]
    service.override("\n".join(commands))
    good = service.machine.run("systemctl", "reload", SERVICE, check=False)
    service.configure('tick = "soon"\n')
    bad = service.machine.run("systemctl", "reload", SERVICE, check=False)

    assert commands[0] == "ExecReload="
    assert (good.returncode, bad.returncode) == (0, 1)
    assert "tick: expected a duration" in service.log()


@pytest.mark.parametrize("example", [False, True], ids=["an empty file", "the example"])
def test_the_documented_configurations_work_as_they_are(example: bool, service: Service) -> None:  # noqa: FBT001
    """The service can write everything that it has to where the defaults put it."""
    path = "/usr/local/share/doc/fleet-health/config.example.toml"
    service.configure(service.machine.path(path).read_text() if example else "")
    service.control("restart")
    status = json.loads(service.machine.run("fleet-health", "status", "--json", check=False).stdout)
    checked = service.machine.run("fleet-health", "config", "check", CONFIG, check=False)

    assert (status["problems"], service.property("ActiveState")) == ([], "active")
    assert checked.returncode == 0, checked.stderr
    assert service.machine.path("/var/lib/fleet-health/alerts.jsonl").exists()


def test_a_mistyped_unit_does_not_look_well(service: Service) -> None:
    """It has no unit file: this is said before it is taken, and afterwards, by a service that can see no bus."""
    service.configure(QUICK_CONFIG + '\n[journal]\nunit = "cis490-reciever.service"\n')
    checked = service.machine.run("fleet-health", "config", "check", check=False)
    preview = service.machine.run("fleet-health", "reload", "--dry-run", check=False)
    service.control("reload")
    problem = "cis490-reciever.service: the journal has no entry of it, and systemd does not know it"
    eventually(lambda: problem in service.property("StatusText"), "the problem")
    status = service.machine.run("fleet-health", "status", "--json", check=False)

    assert (checked.returncode, problem in checked.stderr) == (3, True)
    assert (preview.returncode, problem in preview.stdout) == (3, True)
    assert status.returncode == 3


def test_a_unit_that_is_installed_and_has_not_run_is_no_problem(service: Service) -> None:
    """Nor is an instance of a template; a mere alias is, for the journal has the unit's own name."""
    machine = service.machine
    for name in ("not-run.service", "not-run@.service"):
        machine.write(f"/etc/systemd/system/{name}", "[Service]\nExecStart=/bin/true\n")
    machine.run("ln", "-sf", "not-run.service", "/etc/systemd/system/alias-of-it.service")
    units = ["cis490-receiver.service", "not-run.service", "not-run@1.service", "not-run@*.service"]
    service.configure(QUICK_CONFIG + f"\n[journal]\nunit = {json.dumps(units)}\n")
    checked = machine.run("fleet-health", "config", "check", check=False)
    service.configure(QUICK_CONFIG + '\n[journal]\nunit = "alias-of-it.service"\n')
    alias = machine.run("fleet-health", "config", "check", check=False)

    assert "not-run" not in checked.stderr
    assert "alias-of-it.service: systemd knows it as not-run.service" in alias.stderr


def test_a_journal_that_becomes_persistent_is_followed(
    disturbed_service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """Also one in /run. journald gives the new directory to root alone: the status says what mends that."""
    service, machine, host = disturbed_service, disturbed_service.machine, new_host("refused")
    file = "/etc/systemd/journald.conf.d/storage.conf"

    def store(kind: str) -> None:
        machine.write(file, f"[Journal]\nStorage={kind}\n")
        machine.run("systemctl", "restart", "systemd-journald")

    store("volatile")
    machine.run("rm", "-r", "/var/log/journal")
    eventually(lambda: "journal following" in service.property("StatusText"), "the volatile journal")
    store("persistent")
    machine.run("journalctl", "--flush")
    mend = "systemd-tmpfiles --create --prefix /var/log/journal"
    eventually(lambda: mend in service.property("StatusText"), "the advice")
    machine.run(*mend.split())
    eventually(lambda: "journal following" in service.property("StatusText"), "the persistent journal")
    machine.run("rm", file)

    def is_found() -> bool:
        receiver.upload(host, stamped=False)
        return bool(service.rows(host))

    eventually(is_found, "the alert")


def test_a_stop_is_a_success(disturbed_service: Service) -> None:
    """`systemctl stop` neither runs into the unit's limit nor leaves a failure behind."""
    service = disturbed_service

    service.control("stop")

    seen = service.machine.properties(SERVICE, "ActiveState", "Result", "ExecMainStatus")
    assert seen == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}


@pytest.mark.fault("D12", rig="R2")
def test_D12_bad_configuration_ends_it_for_good(disturbed_service: Service) -> None:
    """At start a bad configuration is exit status 2, every problem in the log, and no attempt to start again."""
    service = disturbed_service
    service.control("stop")
    service.override("RestartSec=100ms")
    service.configure('tick = "soon"\ntock = 1\n')

    service.control("start", check=False)

    log = service.log()
    problems = service.machine.journal(
        "--priority=err", f"_SYSTEMD_INVOCATION_ID={service.property('InvocationID')}", f"_SYSTEMD_UNIT={SERVICE}"
    )
    assert "tick" in log
    assert "tock" in log
    assert sorted(str(entry["MESSAGE"]).split(": ")[1] for entry in problems) == ["tick", "tock"]
    time.sleep(1)
    seen = service.machine.properties(SERVICE, "ActiveState", "ExecMainStatus", "NRestarts")
    assert seen == {"ActiveState": "failed", "ExecMainStatus": "2", "NRestarts": "0"}


def test_confinement(service: Service) -> None:
    """It runs as a user of its own that cannot write beside the index, in a directory that another user owns."""
    machine = service.machine

    assert machine.run("stat", "--format=%U %a", "/var/lib/cis490").stdout.split() == ["cis490", "755"]
    user = machine.run("stat", "--format=%U", f"/proc/{service.property('MainPID')}").stdout.strip()
    assert user == "fleet-health"
    as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups")
    assert machine.run(*as_user, "touch", "/var/lib/cis490/mine", check=False).returncode == 1
    exposure = machine.run("systemd-analyze", "security", "--threshold=6", SERVICE, check=False)
    assert exposure.returncode == 0, exposure.stdout


def test_only_a_drop_in_lets_it_write_to_the_receiver_s_directory(disturbed_service: Service) -> None:
    """As the service sees it, not even root could write there; with the drop-in as uploaded, who is allowed to can."""
    machine = disturbed_service.machine

    def is_writable() -> bool:
        inside = ("nsenter", "--mount", "--root", f"--target={disturbed_service.property('MainPID')}")
        return machine.run(*inside, "touch", "/var/lib/cis490/mine", check=False).returncode == 0

    assert not is_writable()

    uploaded = machine.path("/usr/local/share/doc/fleet-health/drop-ins/alert-log.conf").read_text()
    machine.write(f"{DROP_INS}/alert-log.conf", uploaded)
    machine.run("systemctl", "daemon-reload")
    disturbed_service.control("restart")

    assert is_writable()


@pytest.mark.fault("D5", rig="R2")
def test_D5_long_catch_up(disturbed_service: Service) -> None:
    """A catch-up that takes longer than the start limit is let go on, and its progress is in the status."""
    service, machine = disturbed_service, disturbed_service.machine
    service.control("stop")
    now = datetime.now(UTC).isoformat()
    rows = "".join(f'{{"host_id": "backlog-{number}", "received_at_wall": "{now}"}}\n' for number in range(9_000)) * 8
    machine.write("/srv/backlog/index.jsonl", rows)
    service.configure(f'{QUICK_CONFIG}\n[index]\npath = "/srv/backlog/index.jsonl"\n')
    script = f"{CHECKOUT}/tests/machine/slow_service.py"
    limit_s = 15  # more than a busy machine takes to load the program, and less than the reads take
    service.override(f"ExecStart=\nExecStart=/opt/fleet-health/current/bin/python {script}\nTimeoutStartSec={limit_s}s")

    machine.run("systemctl", "start", "--no-block", SERVICE)
    progress = re.compile(r"Starting: index catching up, [1-9]\d* read")
    eventually(lambda: progress.match(service.property("StatusText")), "the progress in the status")
    eventually(lambda: service.property("ActiveState") != "activating", "the end of the catch-up")

    service.assert_undisturbed()
    began_at, ready_at = "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"
    assert int(service.property(ready_at)) - int(service.property(began_at)) > limit_s * 1_000_000


@pytest.mark.fault("D7", rig="R2")
def test_D7_hidden_boot_id(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """The unit hides the boot's id from the service, which reads the journal all the same."""
    seen_by_it = service.machine.run("ls", f"/proc/{service.property('MainPID')}/root/proc").stdout.split()
    assert "self" in seen_by_it
    assert "sys" not in seen_by_it  # the boot's id is sys/kernel/random/boot_id
    host = new_host("unstamped")
    receiver.upload(host, times=3, stamped=False)

    service.wait_for_alert(host, "unstamped")


@pytest.mark.fault("D10", rig="R2")
@pytest.mark.parametrize(
    ("index", "keys"),
    [
        pytest.param("/home/receiver/data/index.jsonl", ("ProtectHome=", "BindReadOnlyPaths="), id="below /home"),
        pytest.param("/tmp/receiver/index.jsonl", ("PrivateTmp=",), id="below /tmp"),  # noqa: S108 - the machine's
    ],
)
def test_D10_hidden_index(index: str, keys: tuple[str, ...], service: Service) -> None:
    """An index that the unit hides is named in the status, with what to do; the drop-in that we upload shows it."""
    machine = service.machine
    machine.write(index, "")
    service.configure(f'{QUICK_CONFIG}\n[index]\npath = "{index}"\n')

    service.control("restart")
    status = service.property("StatusText")
    assert f"({index}: " in status
    assert "ProtectHome= or PrivateTmp= in the unit hides such places from a service" in status
    assert "hidden-index.conf" in status

    drop_in = machine.path("/usr/local/share/doc/fleet-health/drop-ins/hidden-index.conf").read_text()
    applying = [line.lstrip("#") for line in drop_in.splitlines() if line.lstrip("#").startswith(keys)]
    service.override("\n".join(applying))
    service.control("restart")
    assert "index following" in service.property("StatusText")
