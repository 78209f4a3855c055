"""The process beside a real daemon: each notification arrives once, through kills, reloads and failures of anybody."""

from __future__ import annotations

import json
import re
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.demo.journal import find_writer
from fleet_health.notify.message import Kind
from tests.rig.inbox import Inbox, destinations
from tests.rig.service_process import Service, plain_environment
from tests.rig.site import Site
from tests.rig.zygote import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import DoWithout

OPENED = [("opening", host, symptom) for host, symptom in Site.EVERY_ALERT]
NO_RECEIVER = 'receiver.enabled = false\nalerts.resolve_after = "1ms"\n'


@pytest.fixture(autouse=True)
def _writer(do_without: DoWithout) -> None:
    if find_writer() is None:
        do_without("systemd-journal-remote is not installed")


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """What is started, and ended in any case."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def inbox(processes: ExitStack) -> Inbox:
    """Where notifications arrive."""
    return processes.enter_context(Inbox())


@pytest.fixture
def site(tmp_path: Path, inbox: Inbox) -> Site:
    """Three hosts in trouble, and a destination."""
    site = Site(tmp_path)
    site.configure(NO_RECEIVER + destinations([("hook", inbox)], tmp_path))
    site.begin_journal()
    site.show_all_symptoms()
    site.sync_journal()
    return site


def daemon(site: Site, processes: ExitStack) -> Service:
    """Start the daemon."""
    return processes.enter_context(Service(site, {}))


def notifier(site: Site, processes: ExitStack) -> Service:
    """Start `notify`."""
    return processes.enter_context(Service(site, {}, command="notify")).until_ready()


def asked(site: Site, *words: str) -> tuple[int, dict[str, Any]]:
    """Call a command of `notify`; return its exit status and its document."""
    done = run(["notify", *words, "--config", str(site.config), "--json"], env=plain_environment(), timeout=60)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}


def test_each_arrives_once_through_kills_of_both(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """Opening and resolution arrive once, and nothing arrives again after a restart of either process."""
    watch, first = daemon(site, processes), notifier(site, processes)
    first.until(lambda: inbox.received() == OPENED, "the openings")
    first.until(lambda: asked(site, "status")[1]["destinations"][0]["waiting"] == 0, "their records")
    first.stop(signal.SIGKILL)
    watch.stop(signal.SIGKILL)
    site.upload("quiet")

    daemon(site, processes)
    second = notifier(site, processes)
    second.until(lambda: len(inbox.documents) > 3, "the resolution")
    second.until(lambda: asked(site, "status")[1]["destinations"][0]["waiting"] == 0, "its record")

    assert inbox.received() == [*OPENED, ("resolution", "quiet", "silent")]
    assert len({one["key"] for one in inbox.documents}) == 4
    status, history = asked(site, "history", "quiet")
    assert status == 0
    assert [(one["kind"], one["state"], one["response"]) for one in history["notifications"]] == [
        ("resolution", "sent", "204 No Content"),
        ("opening", "sent", "204 No Content"),
    ]


def test_what_resolves_before_it_is_delivered_is_one_message(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """After an outage of the destination, one message reports opening and resolution; the metrics show what waited."""
    inbox.status = 503
    metrics = site.directory / "notify.prom"
    site.config.write_text(f'metrics.notify_textfile = "{metrics}"\n{site.config.read_text()}')
    watch, process = daemon(site, processes), notifier(site, processes)
    process.until(lambda: inbox.documents, "an attempt")
    status, overview = asked(site, "status")
    site.upload("quiet")
    watch.until(
        lambda: [one for one in asked(site, "history", "quiet")[1]["notifications"] if one["kind"] == "resolution"],
        "the resolution",
    )
    process.until(lambda: 'waiting{destination="hook",type="webhook"} 3' in metrics.read_text(), "what waits")
    inbox.documents.clear()
    inbox.status = 200
    process.until(lambda: len(inbox.documents) >= 3, "three messages")
    process.until(lambda: 'destination="hook",type="webhook",outcome="taken"} 3' in metrics.read_text(), "what went")
    process.until(lambda: asked(site, "status")[0] == 0, "a success")

    assert (status, overview["destinations"][0]["state"], overview["destinations"][0]["waiting"]) == (1, "failing", 3)
    assert overview["destinations"][0]["last_error"].endswith("503 Service Unavailable")
    assert inbox.received() == [OPENED[1], OPENED[2], ("resolution", "quiet", "silent")]
    assert [one["is_unannounced"] for one in inbox.documents if one["kind"] == "resolution"] == [True]


def test_the_loss_of_a_host_arrives_and_so_does_its_return(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """A loss arrives even if `notify` was not running when it was decided."""
    watch, first = daemon(site, processes), notifier(site, processes)
    first.until(lambda: inbox.received() == OPENED, "the openings")
    first.until(lambda: asked(site, "status")[1]["destinations"][0]["waiting"] == 0, "their records")
    first.stop(signal.SIGKILL)
    site.config.write_text('detectors.silent.lookback = "40m"\n' + site.config.read_text())
    watch.process.send_signal(signal.SIGHUP)
    watch.until(lambda: "1 lost" in watch.notify.status, "the loss")
    second = notifier(site, processes)
    second.until(lambda: len(inbox.documents) > 3, "the loss")
    site.upload("quiet")
    second.until(lambda: len(inbox.documents) > 4, "the resolution")

    loss, resolution = inbox.documents[3:]
    assert (loss["kind"], loss["host"], loss["ended_wall"], loss["is_unannounced"]) == ("lost", "quiet", None, False)
    assert (resolution["kind"], resolution["host"], resolution["id"]) == ("resolution", "quiet", loss["id"])


def test_410_disables_a_destination_until_it_is_configured_anew(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """Nothing more is sent until a reload that changes the destination."""
    inbox.status = 410
    daemon(site, processes)
    process = notifier(site, processes)
    process.until(lambda: asked(site, "status")[1]["destinations"][0]["state"] == "disabled", "the end")
    process.reload()
    before = len(inbox.documents)
    inbox.status = 200
    text = site.config.read_text()
    site.config.write_text(text.replace("/hook", "/another-hook"))
    process.reload()
    process.until(lambda: len(inbox.documents) == before + 3, "what waited")

    assert before == 1
    assert set(inbox.paths[1:]) == {"/another-hook"}
    assert process.events("destination gone, disabled until its configuration changes")


def test_a_bad_configuration_changes_nothing(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """A refused reload is logged and shown, and the previous configuration stays in force."""
    process = notifier(site, processes)
    good = site.config.read_text()
    site.config.write_text(good.replace("webhook", "pigeon"))
    process.reload()
    status, overview = asked(site, "status")
    daemon_site = Site(site.directory)
    daemon_site.config.write_text(good)
    daemon(site, processes)
    process.until(lambda: inbox.received() == OPENED, "the openings")

    assert status == 1
    assert any("reload refused: destinations[1].type" in problem for problem in overview["problems"])
    assert "reload refused" in process.notify.status
    assert process.events("configuration refused, previous one kept")


def test_a_daemon_that_is_gone_is_an_incident(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """`watch-stopped` opens after three ticks, resolves at the next evaluation, and is sent once."""
    watch, process = daemon(site, processes), notifier(site, processes)
    process.until(lambda: len(inbox.documents) == 3, "the openings")
    watch.stop(signal.SIGKILL)
    process.until(lambda: ("opening", "*", "watch-stopped") in inbox.received(), "that the daemon is gone")
    process.stop(signal.SIGKILL)
    process = notifier(site, processes)
    daemon(site, processes)
    process.until(lambda: ("resolution", "*", "watch-stopped") in inbox.received(), "that it is back")

    stopped = [one for one in inbox.documents if one["symptom"] == "watch-stopped"]
    assert [one["kind"] for one in {one["key"]: one for one in stopped}.values()] == ["opening", "resolution"]
    assert "no evaluation for" in stopped[0]["detail"]
    assert inbox.received(Kind.OPENING).count(OPENED[0]) == 1


def test_a_new_destination_is_sent_what_stands_and_one_that_hangs_delays_nobody(
    site: Site, inbox: Inbox, processes: ExitStack
) -> None:
    """Each destination has a courier of its own."""
    daemon(site, processes)
    process = notifier(site, processes)
    process.until(lambda: inbox.received() == OPENED, "the openings")
    other = processes.enter_context(Inbox())
    text = NO_RECEIVER + destinations([("hook", inbox), ("new", other)], site.directory)
    hangs = '[[destinations]]\nname = "hangs"\ntype = "webhook"\nurl = "http://192.0.2.1/"\ntimeout = "60s"\n'
    site.configure(hangs + text if text.startswith("[[") else text + hangs)
    process.reload()
    process.until(lambda: other.received() == OPENED, "what stands")

    assert inbox.received() == OPENED
    assert {one["name"] for one in asked(site, "status")[1]["destinations"]} == {"hook", "new", "hangs"}


def test_a_test_message_is_marked_and_its_response_shown(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """The process or the command sends the test, and an unknown name is refused with the known ones."""
    alone = asked(site, "test")
    process = notifier(site, processes)
    asked_of_it = asked(site, "test", "hook")
    unknown = asked(site, "test", "phone")
    inbox.status = 403
    refused = asked(site, "test", "hook")

    assert process.is_running
    assert [alone[0], asked_of_it[0], unknown[0], refused[0]] == [0, 0, 2, 1]
    assert alone[1]["tests"][0]["response"] == asked_of_it[1]["tests"][0]["response"] == "204 No Content"
    assert "(hook), found 'phone'" in unknown[1]["stderr"]
    assert "403" in refused[1]["tests"][0]["response"]
    assert [one["is_test"] for one in inbox.documents] == [True] * 3
    assert asked(site, "history")[1]["notifications"] == []


def test_without_a_destination_a_test_says_what_to_do(site: Site, processes: ExitStack) -> None:
    """With or without the process, the error says how to configure a destination."""
    site.configure(destinations([], site.directory))
    alone = asked(site, "test")
    notifier(site, processes)
    asked_of_it = asked(site, "test")

    assert alone[0] == asked_of_it[0] == 2
    for _, document in (alone, asked_of_it):
        assert "no destination is configured: add a table [[destinations]]" in document["stderr"]


def test_two_processes_do_not_share_a_ledger(site: Site, processes: ExitStack) -> None:
    """The second process ends with the reason."""
    notifier(site, processes)
    second = processes.enter_context(Service(site, {}, command="notify"))

    assert second.process.wait(60) == 1
    assert "another `fleet-health notify` uses it" in second.stderr


def test_without_a_process_the_ledger_is_shown(site: Site, inbox: Inbox, processes: ExitStack) -> None:
    """`status` ends with 4; without a ledger, the error says that there is no process."""
    nothing = asked(site, "status")
    daemon(site, processes)
    process = notifier(site, processes)
    process.until(lambda: inbox.received() == OPENED, "the openings")
    assert process.stop() == 0
    status, overview = asked(site, "status")

    assert nothing[0] == 4
    assert status == 4
    assert overview["problems"] == ["fleet-health notify is not running"]
    assert overview["destinations"][0]["last_success_wall"]
    assert len(asked(site, "history")[1]["notifications"]) == 3


def test_a_process_without_a_control_socket_is_running(site: Site, processes: ExitStack) -> None:
    """If the directory of the socket is missing, commands say that the process runs, and where it logs why."""
    path = site.directory / "missing" / "notify.sock"
    given = re.compile("(?m)^(notify.)?control = .*notify.*$")
    text, count = given.subn(rf"\1control = {json.dumps(str(path))}", site.config.read_text())
    assert count == 1
    site.config.write_text(text)
    notifier(site, processes)
    found = [asked(site, "status"), asked(site, "history")]

    for status, document in found:
        assert status == 4
        assert document["stderr"] == (
            f"{path}: no process listens here (No such file or directory), but the service is running;"
            " `journalctl -u fleet-health-notify` shows why it has no control socket\n"
        )
