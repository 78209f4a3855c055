"""`fleet-health-notify` in a real systemd: its secret is a credential, and its user changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.machine.deployment import QUICK_CONFIG, REFUSED_HOST, Receiver
from tests.machine.machine import eventually

if TYPE_CHECKING:
    from tests.machine.deployment import Service

_UNIT = "fleet-health-notify.service"
_DROP_IN = f"/etc/systemd/system/{_UNIT}.d/secret.conf"
_KEPT_IN = "/etc/fleet-health/secrets/hook-url"
_TAKEN = "/run/taken"
_HIDDEN = "c0ffee-c0ffee"
_INBOX = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open({_TAKEN!r}, "ab") as file:
            file.write(body + b"\\n")
        self.send_response(200 if self.path == "/{_HIDDEN}" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 9911), Handler).serve_forever()
"""
_DESTINATION = """
[[destinations]]
name = "hook"
type = "webhook"
url_file = "hook-url"
"""
_AS_NOTIFY = ("setpriv", "--reuid=fleet-health-notify", "--regid=fleet-health", "--clear-groups", "--no-new-privs")


def test_a_credential_opens_the_way_and_the_status_says_what_waits(disturbed_service: Service) -> None:
    """Disabled as installed. It tries until the destination is there, and no text holds its secret."""
    service, machine = disturbed_service, disturbed_service.machine
    before = machine.run("systemctl", "is-enabled", _UNIT, check=False).stdout
    service.configure(QUICK_CONFIG + _DESTINATION)
    machine.run("install", "-d", "-m", "700", "/etc/fleet-health/secrets")
    machine.write(_KEPT_IN, f"http://127.0.0.1:9911/{_HIDDEN}\n", mode=0o600)
    machine.write(_DROP_IN, f"[Service]\nLoadCredential=hook-url:{_KEPT_IN}\n")
    machine.run("systemctl", "daemon-reload")
    # As systemd does itself at its start, except in a container: credentials come into the unit's view by this.
    machine.run("mount", "--make-rshared", "/")
    try:
        service.control("reload")
        Receiver(machine).upload(REFUSED_HOST, times=6)
        machine.run("systemctl", "enable", "--now", _UNIT)

        def status() -> str:
            return machine.run("systemctl", "status", "--no-pager", _UNIT).stdout

        eventually(lambda: "waiting for" in status() and "connection refused" in status(), "a status with what waits")
        waits = status()
        machine.run("systemd-run", "--unit=inbox", "python3", "-I", "-c", _INBOX)
        eventually(lambda: "nothing waiting" in status(), "that nothing waits any more")
        machine.run("systemctl", "kill", "--signal=KILL", _UNIT)
        eventually(
            lambda: machine.properties(_UNIT, "NRestarts", "SubState") == {"NRestarts": "1", "SubState": "running"},
            "a restart",
        )
        machine.run("systemctl", "reload", _UNIT)
        tested = machine.run("fleet-health", "notify", "test").stdout
        shown = machine.run("fleet-health", "notify", "status").stdout
        silence = (*_AS_NOTIFY, "fleet-health", "silence", "pi-1", "--for", "1h", "--reason", "no")
        silenced = machine.run(*silence, check=False)
        seen = machine.run(*_AS_NOTIFY, "fleet-health", "status", "--json", check=False)
        reads = machine.run(*_AS_NOTIFY, "touch", "/var/lib/fleet-health/mine", check=False)
        log = machine.run("journalctl", "--output=export", "-u", _UNIT).stdout
        texts = log + waits + shown + machine.run("fleet-health", "config", "show").stdout
        ledger = machine.path("/var/lib/fleet-health-notify/ledger.db").read_bytes()
    finally:
        machine.run("systemctl", "disable", "--now", _UNIT, check=False)
        machine.run("systemctl", "stop", "inbox", check=False)
        machine.run("rm", "-rf", "/etc/fleet-health/secrets", _DROP_IN, check=False)

    assert before == "disabled\n"
    assert "1 destination" in waits
    assert tested == "hook: delivered: 200 OK\n"
    assert "hook" in shown
    taken = machine.path(_TAKEN).read_text().splitlines()
    assert sum(f'"host":"{REFUSED_HOST}"' in line.replace(" ", "") for line in taken) == 1
    assert (silenced.returncode, "may only read" in silenced.stderr) == (2, True)
    assert seen.returncode in {0, 1, 3}
    assert reads.returncode != 0
    assert _HIDDEN not in texts
    assert _HIDDEN.encode() not in ledger
