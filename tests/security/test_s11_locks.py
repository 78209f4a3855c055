"""S11: whoever may read the alert log can lock it, and gains nothing by that."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.alert import Alert
from fleet_health.detectors.spec import Finding
from fleet_health.errors import SinkTaken, SinkUnavailable
from fleet_health.records.alert_log import AlertLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.conftest import DoWithout, Service, Site, StartService

NOBODY, SERVICE = 65_534, 64_998
AT = 1_795_000_000_000_000

HOLD = """
import fcntl, os, struct, sys
os.setgroups([]); os.setresgid(*[65534] * 3); os.setresuid(*[65534] * 3)
held = []
for path in sys.argv[1:]:
    try:
        file = os.open(path, os.O_RDONLY)
    except PermissionError:
        continue
    held.append(file)
    fcntl.flock(file, fcntl.LOCK_SH)
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    second = os.open(path, os.O_RDONLY)
    held.append(second)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
print(len(held), flush=True)
sys.stdin.read()
"""


def alert(host: str = "a") -> Alert:
    """Make an alert."""
    return Alert(Finding(host, "silent", "no upload", "look there"), AT)


@pytest.fixture
def lock_all(do_without: DoWithout) -> Iterator[Callable[..., int]]:
    """Let another user lock every file that they may read, in every way there is; returns how many could be opened."""
    if os.geteuid() != 0:
        do_without("only root can become somebody else")
    processes = []

    def lock(*paths: Path) -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    yield lock
    for process in processes:
        process.communicate()


@pytest.mark.fault("S11", rig="second user")
def test_S11_a_reader_can_stop_neither_the_writing_nor_a_start(
    site: Site,
    public_directory: Path,
    start_service: StartService,
    lock_all: Callable[..., int],
) -> None:
    """Every lock that a reader can take is taken, before the start and while it runs; each alert is written at once."""
    site.alerts = public_directory / "alerts.jsonl"
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    site.alerts.touch(mode=0o644)
    assert lock_all(site.alerts) == 2  # the control: it can be locked
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        # The alert log, the lock, and everything else there is.
        assert lock_all(*public_directory.iterdir()) == 2
        site.answer("another", 412, times=12)
        site.sync_journal()
        service.until(lambda: ("another", "fatal-only") in site.alerted(), "another alert")

        assert service.events("alert log not writable, alerts queued and sent to the journal") == []
        assert service.stop() == 0
    assert public_directory.joinpath(".alerts.jsonl.lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.fault("S11", rig="second user")
def test_S11_a_lock_file_that_all_may_open_is_closed(public_directory: Path, lock_all: Callable[..., int]) -> None:
    """Whatever made it so: an umask, a copy, a restored backup."""
    lock = public_directory / ".alerts.jsonl.lock"
    lock.touch()
    lock.chmod(0o666)
    log = AlertLog(public_directory / "alerts.jsonl")
    log.append([alert("a")])

    assert lock_all(lock) == 0
    assert log.append([alert("b")]) == [alert("b")]


@pytest.mark.fault("S11", rig="second user")
def test_S11_a_lock_file_of_another_user_is_named(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """And so is the remedy."""
    lock = public_directory / ".alerts.jsonl.lock"
    lock.touch(mode=0o600)
    os.chown(public_directory, NOBODY, NOBODY)
    with as_nobody(), pytest.raises(SinkUnavailable) as refused:
        AlertLog(public_directory / "alerts.jsonl").append([alert()])
    assert str(refused.value) == (
        f"{lock}: expected a file of user nobody, found one of user root; run this as root, or move the file away"
    )


def test_two_services_conflict_and_the_second_names_the_first(tmp_path: Path) -> None:
    """Also after the lock file was removed, and whatever was rotated; `check` beside them does not."""
    path = tmp_path / "alerts.jsonl"
    first, second, check = (AlertLog(path, is_service=is_service) for is_service in (True, True, False))
    assert not check.has_service()
    first.probe()

    with pytest.raises(SinkTaken, match=rf"belongs to another service, process {os.getpid()};"):
        second.probe()
    assert check.has_service()
    assert check.append([alert("a")]) == [alert("a")]

    path.rename(tmp_path / "alerts.jsonl.1")
    first.lock_path.unlink()
    assert first.append([alert("b")]) == [alert("b")]
    with pytest.raises(SinkTaken):
        second.probe()
    first.close()
    second.probe()
    with pytest.raises(SinkTaken):
        first.append([alert("c")])
    second.close()
    assert not check.has_service()


def test_a_look_for_a_service_keeps_none_from_starting(tmp_path: Path) -> None:
    """It takes no lock, not even for an instant: F_OFD_GETLK only asks."""
    path = tmp_path / "alerts.jsonl"
    log = AlertLog(path, is_service=True)
    with log.sending():
        log.probe()
        with (tmp_path / ".alerts.jsonl.lock").open("r+b") as lock:
            whole = fcntl.fcntl(lock, fcntl.F_OFD_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1, 1, 0))
    kind, *_ = struct.unpack("hhqqi4x", whole)

    assert kind == fcntl.F_WRLCK
    assert json.loads((tmp_path / ".alerts.jsonl.lock").read_text()) == os.getpid()
    log.close()


def test_a_reload_that_only_writes_the_path_otherwise_keeps_the_log(site: Site, start_service: StartService) -> None:
    """It is the same log, and belongs to us already."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until((site.directory / "state" / "state.json").exists, "the state")
        site.configure(alerts=site.directory / "state" / ".." / "alerts.jsonl")
        service.reload()
        _expect_no_problem(service)
        site.answer("another", 412, times=12)
        site.sync_journal()
        service.until(lambda: ("another", "fatal-only") in site.alerted(), "another alert")


def _expect_no_problem(service: Service) -> None:
    assert "refused" not in service.notify.status
    assert service.events("configuration refused, previous one kept") == []
