"""Alerts as journal entries: to a socket of the test, and to a real journald."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from fleet_health.alerting.alert import Alert
from fleet_health.detectors.spec import Finding
from fleet_health.records.journal_sink import MESSAGE_IDS, JournalSink, fields_of
from fleet_health.records.journal_socket import datagram
from tests.rig.journal_datagrams import fields_of_datagram
from tests.rig.mount_namespace import MAKE_PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import DoWithout, Eventually

AT = 1_795_000_000_000_000
_JOURNALD = "/lib/systemd/systemd-journald"


def alert(host: str = "pi-01", symptom: str = "silent", detail: str = "no upload for 31 min") -> Alert:
    """Make an alert."""
    return Alert(Finding(host, symptom, detail, "look there"), AT)


def send(sink: JournalSink, alerts: list[Alert]) -> None:
    """Send alerts as far as they are taken now."""
    sink.take(alerts)
    sink.flush()


@pytest.mark.parametrize("is_repeat", [False, True])
def test_a_repeat_is_marked(*, is_repeat: bool) -> None:
    """In the fields as in the row; a first alert is not."""
    fields = fields_of(replace(alert(), is_repeat=is_repeat))

    assert fields.get("FLEET_IS_REPEAT") == ("true" if is_repeat else None)


class Receiver:
    """The other end of a journal socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    def receive(self) -> list[dict[str, str]]:
        """Take what has arrived."""
        arrived = []
        while True:
            try:
                arrived.append(fields_of_datagram(self._socket.recv(1 << 20)))
            except BlockingIOError:
                return arrived

    def close(self) -> None:
        """Close it."""
        self._socket.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal's socket is; not there yet."""
    return tmp_path / "socket"


@pytest.fixture
def receiver(path: Path) -> Iterator[Receiver]:
    """Somebody who reads the socket when asked to."""
    one = Receiver(path)
    yield one
    one.close()


@pytest.fixture
def sink(path: Path) -> Iterator[JournalSink]:
    """The sink."""
    one = JournalSink(str(path))
    yield one
    one.close()


def test_an_alert_is_one_entry_with_its_fields(sink: JournalSink, receiver: Receiver) -> None:
    """The message is one line; the figures are fields."""
    send(sink, [alert()])

    assert receiver.receive() == [
        {
            "MESSAGE": "ALERT host=pi-01 symptom=silent no upload for 31 min",
            "MESSAGE_ID": MESSAGE_IDS["silent"],
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "fleet-health",
            "FLEET_HOST": "pi-01",
            "FLEET_SYMPTOM": "silent",
            "FLEET_DETAIL": "no upload for 31 min",
            "FLEET_SUGGESTED_FIX": "look there",
            "FLEET_DETECTED_AT_WALL": "2026-11-18T11:06:40+00:00",
            "FLEET_DEDUP_KEY": alert().dedup_key,
        }
    ]
    assert not sink.has_pending


def test_each_symptom_has_a_message_id_of_its_own() -> None:
    """Of 128 bits; an alert of a symptom without one is an entry all the same."""
    ids = list(MESSAGE_IDS.values())

    assert {"silent", "fatal-only", "unstamped"} <= set(MESSAGE_IDS)
    assert len(set(ids)) == len(ids)
    assert all(len(bytes.fromhex(one)) == 16 for one in ids)
    assert "MESSAGE_ID" not in fields_of(alert(symptom="something new"))


@pytest.mark.parametrize("text", ["a\nPRIORITY=0", "\n", "", "a=b", "\u2028\x00ü", "\udcff"])
def test_no_text_becomes_another_field(text: str) -> None:
    """Whatever a detail contains, it stays in its own field."""
    fields = fields_of_datagram(datagram({"FLEET_DETAIL": text, "PRIORITY": "4"}))

    assert fields == {"FLEET_DETAIL": text.encode("utf-8", "backslashreplace").decode(), "PRIORITY": "4"}


def test_a_receiver_that_does_not_read_is_not_waited_for(sink: JournalSink, receiver: Receiver) -> None:
    """What the socket does not take is queued, and sent in order later."""
    hosts = [f"h{number}" for number in range(2_000)]
    send(sink, [alert(host, detail="x" * 500) for host in hosts])
    has_waited = sink.has_pending
    send(sink, [alert("last")])
    arrived = receiver.receive()
    while sink.has_pending:
        sink.flush()
        arrived += receiver.receive()

    assert has_waited
    assert [entry["FLEET_HOST"] for entry in arrived] == [*hosts, "last"]


def test_without_a_journald_alerts_wait_and_it_is_said_once(sink: JournalSink, path: Path) -> None:
    """They are all sent when one appears, also after one has restarted."""
    with capture_logs() as logs:
        send(sink, [alert("a")])
        send(sink, [alert("b")])
    assert [line["log_level"] for line in logs] == ["warning"]
    assert sink.has_pending
    arrived = []
    for host in ("c", "d"):
        receiver = Receiver(path)
        send(sink, [alert(host)])
        arrived.append([entry["FLEET_HOST"] for entry in receiver.receive()])
        receiver.close()
        send(sink, [alert("while away")])
        path.unlink()

    assert arrived == [["a", "b", "c"], ["while away", "d"]]


def test_an_entry_that_no_datagram_holds_does_not_keep_others_back(sink: JournalSink, receiver: Receiver) -> None:
    """It is in the alert log; that is logged, and the next one is sent."""
    with capture_logs() as logs:
        send(sink, [alert("huge", detail="x" * 5_000_000), alert("next")])

    assert [entry["FLEET_HOST"] for entry in receiver.receive()] == ["next"]
    assert [line["log_level"] for line in logs] == ["error"]


class Journald:
    """A private journald, in a mount namespace of its own."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self.process = process
        self._root = Path(f"/proc/{process.pid}/root")
        self._name = name
        self.socket = self._root / f"run/systemd/journal.{name}/socket"

    def entries(self) -> list[dict[str, Any]]:
        """Read what it has stored, as JSON."""
        read = subprocess.run(
            [
                # With the root, too: seen from a chroot, the namespace alone has another one.
                *("nsenter", f"--target={self.process.pid}", "--mount", "--root", "--wd"),
                *("journalctl", f"--namespace={self._name}", "--output=json", "FLEET_DEDUP_KEY=" + alert().dedup_key),
            ],
            capture_output=True,
            check=False,
        )
        return [json.loads(line) for line in read.stdout.splitlines()]


@pytest.fixture
def journald(tmp_path: Path, do_without: DoWithout, eventually: Callable[..., Any]) -> Iterator[Journald]:
    """Run a private journald."""
    if os.geteuid() != 0 or not Path(_JOURNALD).exists() or shutil.which("unshare") is None:
        do_without("a private journald needs root, systemd-journald and unshare")
    logs = tmp_path / "log"
    logs.mkdir()
    name = f"fht{os.getpid()}"
    script = f"{MAKE_PRIVATE} && mount -t tmpfs tmpfs /run && mount --bind {logs} /var/log && exec {_JOURNALD} {name}"
    unshared = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script]
    process = subprocess.Popen(unshared, stderr=subprocess.PIPE)
    one = Journald(process, name)
    eventually(lambda: process.poll() is not None or one.socket.exists(), "the socket of a private journald")
    if process.poll() is not None:
        _, complaint = process.communicate()
        do_without(f"a private journald does not start: {complaint.decode()}")
    yield one
    process.terminate()
    process.communicate()


def test_a_real_journald_stores_every_field(journald: Journald, eventually: Eventually) -> None:
    """Each field comes out of the journal as it was sent, line breaks included."""
    expected = fields_of(alert(detail="two\nlines"))
    sink = JournalSink(str(journald.socket))
    send(sink, [alert(detail="two\nlines")])
    sink.close()
    (entry,) = eventually(journald.entries, "the entry")

    assert expected == {name: entry[name] for name in expected}
    assert entry["_TRANSPORT"] == "journal"


@pytest.mark.usefixtures("in_berlin")
def test_the_message_has_local_times_and_the_fields_have_utc() -> None:
    """For alerts and for notices."""
    fields = fields_of(alert(detail="no accepted upload since 2026-11-23T19:12:16.656548+00:00, 33 min ago"))

    assert fields["MESSAGE"] == (
        "ALERT host=pi-01 symptom=silent no accepted upload since 2026-11-23 20:12:16+01:00, 33 min ago"
    )
    assert fields["FLEET_DETAIL"].startswith("no accepted upload since 2026-11-23T19:12:16.656548+00:00")
    assert fields["FLEET_DETECTED_AT_WALL"].endswith("+00:00")
