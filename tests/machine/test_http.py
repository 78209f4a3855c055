"""The read-only listener in a real systemd: the socket is passed into a unit that has no network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.machine.deployment import QUICK_CONFIG
from tests.machine.machine import eventually

if TYPE_CHECKING:
    from tests.machine.deployment import Service

_SOCKET = "fleet-health-http.socket"
_GET = """
import sys, urllib.request, urllib.error
request = urllib.request.Request("http://127.0.0.1:9490" + sys.argv[2], method=sys.argv[1])
try:
    with urllib.request.urlopen(request, timeout=600) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""


def test_the_passed_socket_serves_a_unit_without_a_network(disturbed_service: Service) -> None:
    """Disabled as installed; enabled as documented, it serves reads alone, and the unit keeps its walls."""
    service, machine = disturbed_service, disturbed_service.machine

    def ask(method: str, target: str) -> dict[str, object]:
        document: dict[str, object] = json.loads(machine.run("python3", "-I", "-c", _GET, method, target).stdout)
        return document

    before = machine.run("systemctl", "is-enabled", _SOCKET, check=False).stdout
    service.control("stop")
    machine.run("systemctl", "enable", "--now", _SOCKET)
    service.control("start")
    try:
        eventually(lambda: ask("GET", "/healthz").get("health") == "ok", "an evaluation")
        status = ask("GET", "/v1/status")
        pages = [machine.run("python3", "-I", "-c", _GET, "GET", path).stdout for path in ("/", "/hosts/*", "/wall")]
        metrics = machine.run("python3", "-I", "-c", _GET, "GET", "/metrics").stdout
        refused = ask("POST", "/v1/silences")
        walls = machine.run("systemctl", "show", "-p", "PrivateNetwork,RestrictAddressFamilies", "fleet-health").stdout
        service.control("restart")
        eventually(lambda: ask("GET", "/healthz").get("health") == "ok", "an evaluation after a restart")
    finally:
        machine.run("systemctl", "disable", "--now", _SOCKET, check=False)

    assert before == "disabled\n"
    assert status["version"] == 1
    assert "\nfleet_health_evaluations_total " in metrics
    assert all("</html>" in page for page in pages)
    assert refused["status"] == 405
    assert set(walls.split()) == {"PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"}


def test_the_metrics_are_written_for_node_exporter(disturbed_service: Service) -> None:
    """Into its directory, with the drop-in as uploaded and the group's right; anybody can read them."""
    service, machine = disturbed_service, disturbed_service.machine
    directory, file = "/var/lib/prometheus/node-exporter", "/var/lib/prometheus/node-exporter/fleet-health.prom"
    uploaded = machine.path("/usr/local/share/doc/fleet-health/drop-ins/textfile.conf").read_text()
    commands = [line.removeprefix("#   ") for line in uploaded.splitlines() if line.startswith("#   ch")]
    machine.run("install", "-d", directory)
    for command in commands:
        machine.run(*command.split())
    machine.write("/etc/systemd/system/fleet-health.service.d/textfile.conf", uploaded)
    machine.run("systemctl", "daemon-reload")
    service.configure(f'{QUICK_CONFIG}\n[metrics]\ntextfile = "{file}"\n')
    service.control("restart")

    eventually(lambda: machine.path(file).exists(), "the file")

    read = machine.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "cat", file).stdout
    assert "\nfleet_health_evaluations_total " in read
    assert len(commands) == 2
