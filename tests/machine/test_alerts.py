"""The main job on a real machine: uploads go wrong, and the alerts stand in the alert log and in the journal."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.parsing.local_time import localized
from fleet_health.records.journal_sink import MESSAGE_IDS, NOTICE_IDS
from tests.machine.deployment import ALERTS, QUICK_CONFIG, RECEIVER, REFUSED_HOST
from tests.machine.machine import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.machine.deployment import Receiver, Service


def test_silent_host(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """A host that uploaded once and then no more is told to be silent."""
    host = new_host("silent")

    assert receiver.upload(host) == ["201"]

    _assert_told_in_full(service, host, "silent")


def test_refused_host(service: Service, receiver: Receiver) -> None:
    """A host whose uploads are all refused is told to be fatal-only."""
    assert receiver.upload(REFUSED_HOST, times=3) == ["422"] * 3

    _assert_told_in_full(service, REFUSED_HOST, "fatal-only")


def test_unstamped_host(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """A host whose uploads lack the stamp is told to be unstamped."""
    host = new_host("unstamped")

    assert receiver.upload(host, times=3, stamped=False) == ["412"] * 3

    _assert_told_in_full(service, host, "unstamped")


def test_healthy_host(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """Of a host that uploads nothing is told, when a sick one that was evaluated with it has its alert."""
    healthy, sick = new_host("healthy"), new_host("unstamped")

    receiver.upload(sick, times=3, stamped=False)
    receiver.upload(healthy)
    service.wait_for_alert(sick, "unstamped")

    assert service.rows(healthy) == []


def test_blind_to_the_index(service: Service) -> None:
    """An index that was rotated to a file nobody may read is told as an alert of its own, until it can be read."""
    machine, index = service.machine, "/srv/blind/index.jsonl"
    machine.write(index, "")
    service.forget_alerts()
    service.configure(f'blind_after = "3s"\n{QUICK_CONFIG}\n[index]\npath = "{index}"\n')
    service.control("restart")
    assert "index following" in service.property("StatusText")

    machine.write(index, "", mode=0o000)

    eventually(lambda: f"index refused ({index}: permission denied" in service.property("StatusText"), "the status")
    row = _assert_told_in_full(service, "*", "blind")
    assert re.match(rf"cannot read the index for \d+ s \({index}: permission denied", row["detail"])

    machine.run("chmod", "644", index)

    eventually(lambda: "index following" in service.property("StatusText"), "the index to be followed again")
    eventually(lambda: "blind" not in service.property("StatusText"), "the end of the finding")


def test_blind_to_the_journal(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """A service that may not read the journal tells that, not that all is well; it goes on as soon as it may."""
    machine, host = service.machine, new_host("unstamped")
    journal = f"/var/log/journal/{machine.path('/etc/machine-id').read_text().strip()}"
    service.forget_alerts()
    service.configure(f'blind_after = "3s"\n{QUICK_CONFIG}')
    service.override("SupplementaryGroups=")
    machine.run("gpasswd", "--delete", "fleet-health", "systemd-journal")
    try:
        service.control("restart")
        assert f"journal refused ({journal}/system.journal: permission denied" in service.property("StatusText")
        row = _assert_told_in_full(service, "*", "blind")
        assert re.match(rf"cannot read the journal for \d+ s \({journal}/system.journal: permission", row["detail"])
        eventually(
            lambda: "not evaluated: fatal-only, unstamped" in service.property("StatusText"), "what is not evaluated"
        )
        receiver.upload(host, times=3, stamped=False)

        machine.run("chmod", "--recursive", "o+rX", journal)

        eventually(lambda: "journal following" in service.property("StatusText"), "the journal to be followed")
        service.wait_for_alert(host, "unstamped")
        eventually(lambda: "blind" not in service.property("StatusText"), "the end of the finding")
    finally:
        machine.run("chmod", "--recursive", "o-rX", journal)
        machine.run("gpasswd", "--add", "fleet-health", "systemd-journal")


def test_blind_after_a_rotation_of_the_journal(
    service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """When journald's new file may not be read any more, a service that runs is not deaf without a word."""
    machine, host = service.machine, new_host("unstamped")
    journal = f"/var/log/journal/{machine.path('/etc/machine-id').read_text().strip()}"
    machine.run("sh", "-c", f"setfacl -bk {journal}; chown root:root {journal}; chmod u=rwx,go=rx,g-s {journal}")
    try:
        machine.run("journalctl", "--rotate")
        receiver.upload(host, times=3, stamped=False)

        refused = f"journal refused ({journal}/system.journal: permission denied"
        eventually(lambda: refused in service.property("StatusText"), "the status")
        assert service.rows(host) == []
    finally:
        machine.run("sh", "-c", f"chgrp systemd-journal {journal} {journal}/*; chmod g+s {journal}")

    service.wait_for_alert(host, "unstamped")


def test_catalog(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """`journalctl --catalog` explains an alert, with its host, its figures and the fix."""
    host = new_host("unstamped")
    receiver.upload(host, times=3, stamped=False)
    row, _ = service.wait_for_alert(host, "unstamped")

    told = service.machine.run("journalctl", "--catalog", "FLEET_SYMPTOM=unstamped", f"FLEET_HOST={host}").stdout

    assert f"Host {host} uploads without a code stamp" in told
    assert row["detail"] in told
    assert row["suggested_fix"] in told


def test_readers_of_the_alert_log(service: Service) -> None:
    """Who may read the system's journal may read the alert log; others may not."""
    machine = service.machine
    machine.run("useradd", "--system", "--groups=adm", "log-reader")

    def can_read(user: str) -> bool:
        as_user = ("setpriv", f"--reuid={user}", "--regid=nogroup", "--init-groups")
        return machine.run(*as_user, "cat", ALERTS, check=False).returncode == 0

    assert can_read("log-reader")
    assert not can_read("nobody")


def _assert_told_in_full(service: Service, host: str, symptom: str) -> dict[str, Any]:
    row, entry = service.wait_for_alert(host, symptom)

    hour = row["detected_at_wall"][: len("YYYY-MM-DDTHH")]
    assert row["dedup_key"] == hashlib.sha256(f"{host}|{symptom}|{hour}".encode()).hexdigest()[:16]
    assert row.keys() >= {"host", "symptom", "detail", "suggested_fix", "detected_at_wall", "dedup_key"}

    expected = {
        "MESSAGE": f"ALERT host={host} symptom={symptom} {localized(row['detail'])}",
        "MESSAGE_ID": MESSAGE_IDS[symptom],
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "fleet-health",
        "FLEET_HOST": host,
        "FLEET_SYMPTOM": symptom,
        "FLEET_DETAIL": row["detail"],
        "FLEET_SUGGESTED_FIX": row["suggested_fix"],
        "FLEET_DEDUP_KEY": row["dedup_key"],
        "_SYSTEMD_UNIT": "fleet-health.service",
    }
    assert {field: entry.get(field) for field in expected} == expected
    return row


def test_a_receiver_that_is_stopped_is_down(service: Service, receiver: Receiver) -> None:
    """Systemd says so, and says when it runs again: the end is a notice of its own in the journal."""
    config = QUICK_CONFIG.replace("receiver.enabled = false", 'receiver.down.after = "2s"')
    service.configure(config.replace('after = "4s"', 'after = "30m"'))
    service.control("reload")
    service.machine.run("systemctl", "stop", RECEIVER)
    try:
        row, entry = service.wait_for_alert("*", "receiver-down")
    finally:
        service.machine.run("systemctl", "start", RECEIVER)
    ends = eventually(
        lambda: service.machine.journal("FLEET_STATUS=resolved", "FLEET_SYMPTOM=receiver-down"), "the end"
    )

    assert row["detail"].startswith("systemd says that its unit stopped or failed at ")
    assert entry["MESSAGE_ID"] == MESSAGE_IDS["receiver-down"]
    assert (ends[0]["MESSAGE_ID"], ends[0]["PRIORITY"]) == (NOTICE_IDS["resolved"], "5")
    eventually(lambda: receiver.upload("first-host") == ["201"], "an answer of the receiver")


def test_what_journald_suppresses_is_known_to_be_missing(service: Service, receiver: Receiver) -> None:
    """It says so itself, as soon as it lets the receiver's lines through again."""
    machine, limit = service.machine, "/etc/systemd/journald.conf.d/narrow.conf"
    machine.write(limit, "[Journal]\nRateLimitIntervalSec=2s\nRateLimitBurst=5\n")
    machine.run("systemctl", "restart", "systemd-journald")
    try:
        receiver.upload("first-host", times=300)  # journald lets more through than that, where the disk has room

        def is_said() -> bool:
            receiver.upload("first-host")
            return " gap" in service.property("StatusText")

        eventually(is_said, "a gap in the status")
    finally:
        machine.run("rm", limit)
        machine.run("systemctl", "restart", "systemd-journald")


@pytest.mark.fault("S7", rig="R2")
def test_S7_the_drop_in_lets_a_refusal_through_a_flood(
    service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """Without it journald drops what comes after the flood, the refusals with the rest; with it nothing is dropped."""
    machine, limit = service.machine, "/etc/systemd/journald.conf.d/narrow.conf"
    drop_ins, uploaded = f"/etc/systemd/system/{RECEIVER}.d", "/usr/local/share/doc/fleet-health/drop-ins"
    count = 300  # journald lets through six times its burst, where the disk has room
    machine.write(limit, "[Journal]\nRateLimitIntervalSec=1h\nRateLimitBurst=5\n")
    machine.run("systemctl", "restart", "systemd-journald")

    def flood() -> tuple[str, int, int]:
        """Flood, then be refused; return the refused host, and how many lines of either there are."""
        loud, refused = new_host("loud"), new_host("unstamped")
        assert receiver.upload(loud, times=count) == ["201"] * count
        assert receiver.upload(refused, times=3, stamped=False) == ["412"] * 3
        machine.run("journalctl", "--sync")
        lines = [str(entry["MESSAGE"]) for entry in machine.journal(f"_SYSTEMD_UNIT={RECEIVER}")]
        return refused, sum(f"/{loud}/" in line for line in lines), sum(f"/{refused}/" in line for line in lines)

    try:
        unseen, loud_lines, refused_lines = flood()
        machine.run(
            "install", "-D", "-m", "644", f"{uploaded}/receiver-rate-limit.conf", f"{drop_ins}/receiver-rate-limit.conf"
        )
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", RECEIVER)
        eventually(lambda: receiver.upload("first-host") == ["201"], "an answer of the receiver")
        seen, all_loud_lines, all_refused_lines = flood()
        service.wait_for_alert(seen, "unstamped")
        rows = service.rows(unseen)
    finally:
        machine.run("rm", "-rf", limit, drop_ins)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "systemd-journald")
        machine.run("systemctl", "restart", RECEIVER)
        eventually(lambda: receiver.upload("first-host") == ["201"], "an answer of the receiver")

    assert (loud_lines < count, refused_lines, rows) == (True, 0, [])
    assert (all_loud_lines, all_refused_lines) == (count, 3)


@pytest.mark.fault("S6", rig="R2")
def test_S6_the_journal_says_who_silenced_what(service: Service, new_host: Callable[[str], str]) -> None:
    """At priority NOTICE, by the user that the kernel names: who made it, and who ended it; root also by sudo's word.

    Without the service it is only what the file says.
    """
    machine, hosts = service.machine, (new_host("silenced"), new_host("silenced"), new_host("silenced"))
    machine.run("useradd", "--system", "--groups=fleet-health", "silencer")
    as_member = ("setpriv", "--reuid=silencer", "--regid=nogroup", "--init-groups")
    words = ("--for", "1h", "--reason", "moving the bench")
    member = machine.run(*as_member, "fleet-health", "silence", hosts[0], *words, environment={"SUDO_USER": "root"})
    machine.run("fleet-health", "silence", hosts[1], *words, environment={"SUDO_USER": "somebody"})
    machine.run(*as_member, "fleet-health", "silence", "expire", member.stdout.partition(":")[0])
    machine.run("fleet-health", "silence", "expire", hosts[1])
    service.control("stop")
    machine.run("fleet-health", "silence", hosts[2], *words, environment={"SUDO_USER": "somebody"})
    service.control("start")

    def logged() -> dict[tuple[str, str], dict[str, str]] | None:
        entries = machine.journal("--unit=fleet-health", "--priority=notice..notice", "--grep=silenced-")
        events = [entry for entry in entries if entry.get("FLEET_HOSTS") in hosts]
        found = {(event["FLEET_EVENT"], event["FLEET_HOSTS"]): event for event in events}
        return found if len(found) >= 5 else None

    events = eventually(logged, "three silences and two ends in the journal")
    by_member, by_root, unseen = (events["silence made", host] for host in hosts)
    machine.run("fleet-health", "silence", "expire", "*")
    ended = machine.run(*as_member, "fleet-health", "silence", "list", "--expired").stdout

    assert (by_member["FLEET_AUTHOR"], by_member["FLEET_REASON"]) == ("silencer", "moving the bench")
    assert (by_root["FLEET_AUTHOR"], by_root["FLEET_ORIGIN"]) == ("somebody as root", "a request over the socket")
    assert (unseen["FLEET_AUTHOR"], unseen["FLEET_ORIGIN"]) == (
        "somebody as root",
        "silences.json, where the author is only a claim",
    )
    assert events["silence ended early", hosts[0]]["FLEET_BY"] == "silencer"
    assert events["silence ended early", hosts[1]]["FLEET_BY"] == "root"
    assert "(ended by silencer), by silencer: moving the bench" in ended
    assert "(ended by root), by somebody as root: moving the bench" in ended


def test_the_journal_of_the_service_reads_as_prose(
    service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """`journalctl -o cat` shows sentences and alerts and no JSON; what is logged has its values as fields."""
    host = new_host("unstamped")
    receiver.upload(host, times=3, stamped=False)
    service.wait_for_alert(host, "unstamped")
    service.control("reload")

    def has_reloaded() -> list[dict[str, Any]]:
        return service.machine.journal(
            f"_SYSTEMD_INVOCATION_ID={service.property('InvocationID')}", "FLEET_EVENT=configuration reloaded"
        )

    (reloaded,) = eventually(has_reloaded, "the reload in the journal")
    unit = ("--unit=fleet-health", f"_SYSTEMD_INVOCATION_ID={service.property('InvocationID')}")
    lines = service.machine.run("journalctl", "--output=cat", *unit).stdout.splitlines()
    (ready,) = service.machine.journal(*unit, "FLEET_EVENT=ready")

    assert (reloaded["MESSAGE"], reloaded["PRIORITY"]) == ("The configuration was reloaded.", "6")
    assert ready["MESSAGE"].startswith("Ready: index following")
    assert ready["_TRANSPORT"] == "journal"
    assert json.loads(ready["FLEET_SOURCES"])[0].startswith("index following")
    assert any(line.startswith(f"ALERT host={host} ") for line in lines)
    assert [line for line in lines if line.startswith("{") or '":' in line] == []


@pytest.mark.fault("D6", rig="R2")
def test_D6_no_alert_is_lost_to_the_rate_limit(service: Service) -> None:
    """When a whole fleet falls silent at once the journal has each alert, however few it takes of other units."""
    machine, limit = service.machine, "/etc/systemd/journald.conf.d/strict.conf"
    machine.write(limit, "[Journal]\nRateLimitIntervalSec=1h\nRateLimitBurst=10\n")
    machine.run("systemctl", "restart", "systemd-journald")
    count, prefix = 2000, "crowd-"
    rows = "".join(f'{{"host_id": "{prefix}{n}", "received_at_wall": "{_an_hour_ago()}"}}\n' for n in range(count))
    machine.write("/srv/crowd/index.jsonl", rows)

    service.configure(f'{QUICK_CONFIG}\n[index]\npath = "/srv/crowd/index.jsonl"\n')
    service.control("reload")

    def told() -> bool:
        entries = machine.journal("SYSLOG_IDENTIFIER=fleet-health", "FLEET_SYMPTOM=silent")
        return len({entry["FLEET_HOST"] for entry in entries if entry["FLEET_HOST"].startswith(prefix)}) == count

    try:
        eventually(told, "an entry for every host")
    finally:
        machine.run("rm", limit)
        machine.run("systemctl", "restart", "systemd-journald")


def _an_hour_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).isoformat()
