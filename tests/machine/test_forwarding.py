"""The documented forwarder, word for word, on a machine where strangers write to the journal."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.records.journal_sink import MESSAGE_IDS
from tests.machine.machine import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.machine.deployment import Receiver, Service
    from tests.machine.machine import Machine

_ROOT = Path(__file__).resolve().parents[2]
_ALERTS = _ROOT / "packaging/doc/alerts.md"
_DOCUMENTS = (_ROOT / "README.md", *sorted(_ALERTS.parent.glob("*.md")))
_SUBJECTS, _TRACE = "/srv/forwarding/subjects", "/srv/forwarding/trace"
# `mail -s SUBJECT ADDRESS`, as alerts.md calls it; anything else is somebody's doing.
_MAIL = f"""#!/bin/sh
[ $# = 3 ] && [ "$1" = -s ] && [ "$3" = ops@example.org ] || echo "called as: $*" >>{_TRACE}
printf '%s\\n' "$2" >>{_SUBJECTS}
"""

# As any user may: by the native protocol. journald drops fields of clients that begin with an underscore.
_SEND = """
import json, socket, sys
for entry in json.load(sys.stdin):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("/run/systemd/journal/socket")
        sender.send("".join(f"{name}={value}\\n" for name, value in entry).encode())
"""


def forwarder() -> str:
    """Return the command that alerts.md gives for forwarding by mail."""
    section = _ALERTS.read_text().partition("\n## Forward alerts\n")[2]
    command = re.search(r"```console\n\$ (.*?)```", section, re.DOTALL)
    assert command is not None
    return command[1]


@pytest.fixture
def forwarding(deployed: Machine) -> Iterator[Callable[[], list[str]]]:
    """The forwarder at work in the machine, with a `mail` that writes down the subjects; calling gives them."""
    deployed.run("rm", "-rf", "/srv/forwarding")
    deployed.write("/srv/forwarding/mail", _MAIL, mode=0o755)
    deployed.write(_SUBJECTS, "")
    path = "--setenv=PATH=/srv/forwarding:/usr/local/bin:/usr/bin:/bin"
    deployed.write("/srv/forwarding/forwarder", forwarder())
    deployed.run("systemd-run", "--unit=forwarder", path, "bash", "/srv/forwarding/forwarder")
    yield lambda: deployed.path(_SUBJECTS).read_text().splitlines()
    deployed.run("systemctl", "stop", "forwarder")


def forgeries() -> list[list[tuple[str, str]]]:
    """Return entries by which a stranger tries to be taken for the service."""
    alert = [
        ("MESSAGE", "ALERT host=forged symptom=silent"),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "fleet-health"),
        ("FLEET_HOST", "forged"),
        ("FLEET_SYMPTOM", "silent"),
        ("FLEET_DETAIL", "$(touch /srv/forwarding/trace) `id` '; touch /srv/forwarding/trace; '"),
        ("FLEET_DEDUP_KEY", "0123456789abcdef"),
    ]
    claims = [
        ("_SYSTEMD_UNIT", "fleet-health.service"),
        ("UNIT", "fleet-health.service"),
        ("OBJECT_SYSTEMD_UNIT", "fleet-health.service"),
        ("COREDUMP_UNIT", "fleet-health.service"),
        ("_SYSTEMD_USER_UNIT", "fleet-health.service"),
        ("_UID", "0"),
        ("_PID", "1"),
    ]
    by_id = [[*alert, ("MESSAGE_ID", message_id)] for message_id in MESSAGE_IDS.values()]
    return [*by_id, [*by_id[0], *claims], *([*by_id[0], claim] for claim in claims), alert]


@pytest.mark.fault("S11", rig="R2")
def test_S11_a_stranger_s_entry_is_not_forwarded(
    forwarding: Callable[[], list[str]], service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """Entries with our MESSAGE_ID and fields, from anybody but the service, make no mail; the service's own do."""
    machine = service.machine

    def alert() -> str:
        host = new_host("unstamped")
        receiver.upload(host, times=3, stamped=False)
        service.wait_for_alert(host, "unstamped")
        return host

    def is_forwarded(host: str) -> bool:
        return any(subject.startswith(f"{host} unstamped ") for subject in forwarding())

    # It has to follow the journal before the strangers write, or it would not see them anyway.
    eventually(lambda: alert() and forwarding(), "a first alert by mail")
    send = shlex.join(["runuser", "-u", "nobody", "--", "python3", "-I", "-c", _SEND])
    machine.run("sh", "-c", f"printf %s {shlex.quote(json.dumps(forgeries()))} | {send}")
    machine.run("sh", "-c", f"printf 'MESSAGE=forged\\nMESSAGE_ID=%s\\n' {MESSAGE_IDS['silent']} | logger --journald")
    # They stand in the journal as meant, and what follows them in it is forwarded.
    assert len(machine.journal("FLEET_HOST=forged")) == len(forgeries())
    last = alert()
    eventually(lambda: is_forwarded(last), "a second alert by mail")

    assert [subject for subject in forwarding() if "forged" in subject] == []
    assert all(re.fullmatch(r"\S+ [a-z-]+ (opening|repeat|resolution|lost): .+", subject) for subject in forwarding())
    assert not machine.path(_TRACE).exists(), machine.path(_TRACE).read_text()


@pytest.mark.fault("S11", rig="R2")
def test_S11_a_stranger_s_entry_is_not_shown_as_ours(deployed: Machine, service: Service) -> None:
    """None of the documented commands that look at the journal shows it."""
    send = shlex.join(["runuser", "-u", "nobody", "--", "python3", "-I", "-c", _SEND])
    deployed.run("sh", "-c", f"printf %s {shlex.quote(json.dumps(forgeries()))} | {send}")
    text = "\n".join(document.read_text() for document in _DOCUMENTS)
    commands = re.findall(r"^\$ (journalctl (?!-f).*?)(?: {2,}#.*)?$", text, re.MULTILINE)

    assert len(commands) >= 2
    for command in commands:
        looked_for = command.replace("FLEET_HOST=pi-02", "FLEET_HOST=forged")
        assert "forged" not in deployed.run("sh", "-c", looked_for).stdout, command
    assert service.machine.journal("FLEET_HOST=forged")
