"""`fleet-health follow`: everything that is notified, once, whatever happens to the service meanwhile."""

from __future__ import annotations

import grp  # noqa: F401 - nobody may not read it, where Python is in a home directory
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import pytest

from fleet_health.cli.asking import EXIT_NOT_ALLOWED
from fleet_health.cli.client import ForbiddenError, ask, target
from fleet_health.cli.main import run_command as run_in_process
from fleet_health.config.locations import load_location
from tests.rig.api_client import ApiClient
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.conftest import Eventually, RunCommand, Site, StartService

CONFIG = 'alerts.resolve_after = "1ms"\nalerts.flap_limit = 1000\nreceiver.enabled = false'


class Follower:
    """A running `follow`, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self._out, self._err = directory / "followed", directory / "follow.err"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return the documents it has printed."""
        return [json.loads(line) for line in self._out.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]

    @property
    def text(self) -> str:
        """Return what it has printed."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """Return what it has written to stderr."""
        return self._err.read_text()

    def kinds(self, host: str) -> list[str]:
        """Return the kinds of notification for a host."""
        return [row["kind"] for row in self.rows if row["host"] == host]


@pytest.fixture
def follow(site: Site) -> Callable[..., Any]:
    """Run the command for the site while the context lasts."""

    @contextmanager
    def run(*arguments: str | Path, stdout: IO[bytes] | int | None = None) -> Iterator[Follower]:
        with (site.directory / "followed").open("ab") as out, (site.directory / "follow.err").open("ab") as err:
            command = (sys.executable, "-m", "fleet_health", "follow", "--config", site.config, *arguments)
            with subprocess.Popen(command, stdout=stdout or out, stderr=err) as process:
                try:
                    yield Follower(process, site.directory)
                finally:
                    process.kill()

    return run


def test_nothing_is_missed_and_nothing_comes_twice(
    site: Site, follow: Callable[..., Any], start_service: StartService, eventually: Eventually
) -> None:
    """Each notification arrives once, through a stop and a kill of the service."""
    site.configure(CONFIG)
    site.begin_journal()
    site.upload("one", "two", "three", minutes_ago=50)
    site.accept("well")
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: len(site.alerted()) == 3, "the alerts")
    with follow("--json") as follower:
        eventually(lambda: "; waiting for it" in follower.stderr, "the follower")
        with start_service(site) as service:
            service.until(lambda: "following again" in follower.stderr, "the follower")
            site.accept("one")
            service.until(lambda: follower.kinds("one") == ["resolution"], "the first resolution")
            site.accept("two")
            os.kill(service.process.pid, signal.SIGKILL)
        with start_service(site) as service:
            service.until(lambda: follower.kinds("two") == ["resolution"], "the second resolution")
            site.accept("three")
            service.until(lambda: follower.kinds("three") == ["resolution"], "the third resolution")
            service.until_evaluated_anew()
        ids = [row["id"] for row in follower.rows]
        follower.process.send_signal(signal.SIGINT)
        status = follower.process.wait(PATIENCE_S)

    assert len(ids) == len(set(ids)) == 3
    assert {row["host"] for row in follower.rows} == {"one", "two", "three"}
    assert follower.stderr.splitlines()[0].endswith("; waiting for it")
    assert "Traceback" not in follower.stderr
    assert status == 0


def test_a_cursor_file_survives_the_follower(
    site: Site, follow: Callable[..., Any], start_service: StartService
) -> None:
    """Notifications from its downtime come first. As text, each is a line."""
    site.configure(CONFIG)
    site.begin_journal()
    site.upload("one", minutes_ago=50)
    site.accept("well")
    site.sync_journal()
    cursor = site.directory / "cursor"
    cursor.write_text("\n")
    with start_service(site) as service:
        with follow("--cursor-file", cursor) as follower:
            service.until(lambda: " ALERT    one silent: " in follower.text, "the alert")
            service.until(lambda: cursor.read_text().strip(), "the cursor")
        site.accept("one")
        site.upload("two", minutes_ago=50)
        service.until(lambda: ("two", "silent") in site.alerted(), "another alert")
        service.until_evaluated_anew()
        with follow("--cursor-file", cursor) as follower:
            service.until(lambda: " RESOLVED one silent: " in follower.text, "the resolution")
            service.until(lambda: " ALERT    two silent: " in follower.text, "the other alert")

    assert len(follower.text.splitlines()) == 3


def test_it_ends_when_nobody_reads(site: Site, follow: Callable[..., Any], start_service: StartService) -> None:
    """It ends without an error when its stdout is closed, even if nothing is notified."""
    site.configure(CONFIG)
    site.accept("well")
    site.sync_journal()
    read, write = os.pipe()
    with start_service(site) as service:
        service.until_ready()
        with follow(stdout=write) as follower:
            os.close(write)
            os.close(read)
            status = follower.process.wait(PATIENCE_S)

    assert (status, follower.stderr) == (141, "")


def test_a_cursor_file_that_cannot_be_read_is_said(site: Site, run_command: RunCommand) -> None:
    """It is reported before anything is followed."""
    site.configure(CONFIG)
    done = run_command("follow", "--config", site.config, "--cursor-file", site.directory)

    assert (done.status, "the cursor cannot be read" in done.stderr) == (1, True)


def test_who_may_not_connect_is_told_so(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """A denied connection is reported at once, without waiting, and not as a service that is not running."""
    control = public_directory / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control))
        control.chmod(0o660)
        listener.listen()
        with as_nobody(), pytest.raises(ForbiddenError) as refused:
            ask(control, target("status"))

        config = public_directory / "config.toml"
        config.write_text(f'control.path = "{control}"\n')
        load_location(config, "control.path")  # imports what nobody may not read
        with as_nobody():
            status = run_in_process(["follow", "--config", str(config)])

    assert str(refused.value).startswith(f"{control}: Permission denied; run this as root")
    assert status == EXIT_NOT_ALLOWED


def test_incidents_are_listed_until_a_week_after_their_end(site: Site, start_service: StartService) -> None:
    """Their ids survive a restart. A client that has the list may wait for it to change."""
    site.configure(CONFIG)
    site.begin_journal()
    site.upload("one", "two", minutes_ago=50)
    site.accept("well")
    site.sync_journal()
    control = site.directory / "control.sock"
    with start_service(site) as service:
        service.until(lambda: len(site.alerted()) == 2, "the alerts")
        service.until_evaluated_anew()
        with ApiClient(control) as client:
            _, first = client.ask("GET", "/v1/incidents")
            site.accept("one")
            while not (listed := client.ask("GET", "/v1/incidents")[1])["ended"]:
                client.request("GET", "/v1/incidents?wait=60", headers={"If-None-Match": tag_of(client)})
                assert client.getresponse().read() is not None
    with start_service(site) as service:
        service.until_evaluated_anew()
        with ApiClient(control) as client:
            _, again = client.ask("GET", "/v1/incidents")

    assert {(one["host"], one["symptom"], one["state"]) for one in first["open"]} == {
        ("one", "silent", "firing"),
        ("two", "silent", "firing"),
    }
    ids = {one["host"]: one["id"] for one in first["open"]}
    assert first["ended"] == []
    for document in (listed, again):
        assert [(one["host"], one["id"]) for one in document["open"]] == [("two", ids["two"])]
        (ended,) = document["ended"]
        assert (ended["host"], ended["id"], ended["state"]) == ("one", ids["one"], "resolved")
        assert ended["opened_wall"] <= ended["first_notified_wall"] <= ended["ended_wall"] <= ended["resolved_wall"]


def tag_of(client: ApiClient) -> str:
    """Return the tag of the current list of incidents."""
    client.request("HEAD", "/v1/incidents")
    response = client.getresponse()
    response.read()
    return response.headers["ETag"]
