"""Several machines, two Prometheus servers and a cluster of two Alertmanagers: one cause is one alert, whatever dies.

    python tests/scale/machines.py        as root, about six minutes

Each machine is a network namespace with an address of its own. Three of them have a receiver's index and journal, and
fleet-health: two on its read-only listener, one by a file that node_exporter serves. 60 hosts upload to them every two
seconds. Prometheus, its rules and Alertmanager are as packaged, but for their times, which are shortened here. What
operators get arrives at a webhook.

    1. A host begins to upload to another machine: no alert.
    2. A host dies: one alert.
    3. A machine is cut off, and its hosts upload to another one: one alert for it, none for them.
    4. One Prometheus and one Alertmanager are killed, then a host dies: still exactly one alert.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.rig.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGED = Path(__file__).resolve().parents[2] / "packaging/prometheus"
NETWORK, OPERATORS = "10.77.0", "10.77.0.1"
RECEIVERS = {"m1": 11, "m2": 12, "m3": 13}
BY_FILE = "m2"
"""The machine without a listener: node_exporter serves the file that fleet-health writes there."""
SERVERS = {"prometheus-1": 21, "prometheus-2": 22}
MANAGERS = {"alertmanager-1": 31, "alertmanager-2": 32}
HOSTS = 60
UPLOAD_EVERY_S = 2.0
SILENT_S, QUIET_S, PATIENCE_S = 20, 60, 120

INCIDENT = "fleet_health_incident_opened_timestamp_seconds"
SETTINGS = f"""
detectors.silent.after = "{SILENT_S}s"
detectors.journal-lossy.enabled = false
detectors.index-stalled.enabled = false
"""

# As systemd does: sd_listen_fds(3).
LISTENING = """
import os, socket, sys
listening = socket.create_server((sys.argv[1], 9490))
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "fleet_health", "run", "--config", sys.argv[2]])
"""


class Machine:
    """A network namespace with an address on the bridge."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.address = name, f"{NETWORK}.{number}"
        self._link = f"v{number}"
        for command in (
            f"ip netns add {name}",
            f"ip link add {self._link} type veth peer name eth0 netns {name}",
            f"ip link set {self._link} master bridge up",
            f"ip -n {name} addr add {self.address}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} link set lo up",
        ):
            subprocess.run(command.split(), check=True)

    def start(self, directory: Path, *command: str) -> subprocess.Popen[bytes]:
        """Start a program in it; what it says goes to a file."""
        with (directory / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen(["ip", "netns", "exec", self.name, *command], stdout=log, stderr=log)

    def cut_off(self) -> None:
        """Pull the cable."""
        subprocess.run(["ip", "link", "set", self._link, "down"], check=True)


class Webhook:
    """Takes what operators get."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer((OPERATORS, 9099), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def alerts(self) -> Counter[tuple[str, str, str]]:
        """Count how often each alert arrived: its name, the machine, and the host."""
        labels = [one["labels"] for message in self.received for one in message["alerts"] if one["status"] == "firing"]
        return Counter((one["alertname"], one.get("instance", ""), one.get("host", "")) for one in labels)


class Fleet:
    """Hosts that upload, each to one of the machines."""

    def __init__(self, sites: dict[str, Site]) -> None:
        self._sites = sites
        names = list(sites)
        self.to = {f"host-{number:02}": names[number % len(names)] for number in range(HOSTS)}
        self._lock = threading.Lock()
        threading.Thread(target=self._upload_for_ever, daemon=True).start()

    def _upload_for_ever(self) -> None:
        while True:
            with self._lock:
                for host, machine in self.to.items():
                    self._sites[machine].upload(host)
                    self._sites[machine].answer(host, 201)
            time.sleep(UPLOAD_EVERY_S)

    def move(self, host: str, machine: str) -> None:
        """Have a host upload to another machine from now on."""
        with self._lock:
            self.to[host] = machine

    def die(self, host: str) -> None:
        """Have a host upload nothing any more."""
        with self._lock:
            del self.to[host]

    def on(self, machine: str) -> list[str]:
        """Return the hosts that upload to a machine."""
        with self._lock:
            return [host for host, to in self.to.items() if to == machine]


def shortened(name: str, times: dict[str, str]) -> str:
    """Return a packaged file with other times."""
    text = (PACKAGED / name).read_text()
    for old, new in times.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def start_prometheus(machine: Machine, directory: Path) -> subprocess.Popen[bytes]:
    """Start a Prometheus that scrapes every machine and sends to both Alertmanagers."""
    targets = [
        {"targets": [f"{NETWORK}.{number}:{9100 if name == BY_FILE else 9490}"], "labels": {"instance": name}}
        for name, number in RECEIVERS.items()
    ]
    config = {
        "global": {
            "scrape_interval": "2s",
            "scrape_timeout": "2s",
            "evaluation_interval": "2s",
            "external_labels": {"replica": machine.name},
        },
        "rule_files": [str(directory / "rules.yml")],
        "alerting": {
            "alert_relabel_configs": [{"regex": "replica", "action": "labeldrop"}],
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{NETWORK}.{number}:9093" for number in MANAGERS.values()]}]}
            ],
        },
        "scrape_configs": [{"job_name": "fleet-health", "static_configs": targets}],
    }
    path = directory / f"{machine.name}.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return machine.start(
        directory,
        "prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={directory}/{machine.name}",
        f"--web.listen-address={machine.address}:9090",
        "--rules.alert.resend-delay=2s",
    )


def start_alertmanager(machine: Machine, directory: Path) -> subprocess.Popen[bytes]:
    """Start a member of the cluster."""
    peers = [f"--cluster.peer={NETWORK}.{number}:9094" for number in MANAGERS.values()]
    return machine.start(
        directory,
        "prometheus-alertmanager",
        f"--config.file={directory}/alertmanager.yml",
        f"--storage.path={directory}/{machine.name}",
        f"--web.listen-address={machine.address}:9093",
        f"--cluster.listen-address={machine.address}:9094",
        "--cluster.peer-timeout=10s",
        *peers,
    )


def asked(expression: str) -> list[dict[str, Any]]:
    """Return what the second Prometheus answers to a query; nothing while it is not there."""
    query = urllib.parse.urlencode({"query": expression})
    address = f"{NETWORK}.{SERVERS['prometheus-2']}:9090"
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except OSError:
        return []
    return found


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something.

    Raises:
        AssertionError: It does not come.

    """
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at, f"{what}: it did not come"
        time.sleep(0.5)


def say(text: str) -> None:
    """Tell what happens."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def expect(webhook: Webhook, expected: set[tuple[str, str, str]]) -> None:
    """Wait until what is expected has arrived, and for a while for what must not; each alert arrives once."""
    until(lambda: expected <= webhook.alerts().keys(), f"{expected - webhook.alerts().keys()}")
    time.sleep(QUIET_S)
    found = webhook.alerts()
    for alert, count in sorted(found.items()):
        say(f"    arrived {count} x: {' '.join(filter(None, alert))}")
    if not found:
        say("    nothing arrived")
    assert dict(found) == dict.fromkeys(expected, 1), found


def play(directory: Path) -> None:
    """Do it all."""
    for command in (
        "ip link add bridge type bridge",
        f"ip addr add {OPERATORS}/24 dev bridge",
        "ip link set bridge up",
    ):
        subprocess.run(command.split(), check=True)
    (directory / "rules.yml").write_text(
        shortened("fleet-health.rules.yml", {"for: 2m": "for: 6s", "for: 3m": "for: 6s"})
    )
    (directory / "alertmanager.yml").write_text(
        shortened(
            "alertmanager.yml",
            {
                "http://127.0.0.1:9099/alerts": f"http://{OPERATORS}:9099/alerts",
                "group_wait: 30s": "group_wait: 4s",
                "group_interval: 5m": "group_interval: 10s",
            },
        )
    )
    webhook, sites, running = Webhook(), {}, {}
    machines = {name: Machine(name, number) for name, number in {**RECEIVERS, **SERVERS, **MANAGERS}.items()}
    for name in RECEIVERS:
        (directory / name).mkdir()
        sites[name] = Site(directory / name)
        sites[name].configure(SETTINGS, tick="2s")
        sites[name].begin_journal()
    fleet = Fleet(sites)
    sites[BY_FILE].configure(f'{SETTINGS}\nmetrics.textfile = "{directory}/{BY_FILE}/fleet-health.prom"', tick="2s")
    running["node_exporter"] = machines[BY_FILE].start(
        directory,
        "prometheus-node-exporter",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={directory}/{BY_FILE}",
    )
    for name in RECEIVERS:
        machine = machines[name]
        running[name] = machine.start(
            directory, sys.executable, "-c", LISTENING, machine.address, str(sites[name].config)
        )
    for name in MANAGERS:
        running[name] = start_alertmanager(machines[name], directory)
    for name in SERVERS:
        running[name] = start_prometheus(machines[name], directory)
    say(f"{HOSTS} hosts upload to {', '.join(RECEIVERS)}")
    expected: set[tuple[str, str, str]] = set()
    known = f"count(fleet_health:host_last_upload_timestamp_seconds:max) == {HOSTS}"
    until(lambda: asked(known), "every host in Prometheus")
    expect(webhook, expected)

    moving, dying, other = fleet.on("m1")[0], fleet.on("m2")[0], fleet.on("m3")[0]
    say(f"1. {moving} moves from m1 to m3")
    fleet.move(moving, "m3")
    until(lambda: asked(f'{INCIDENT}{{instance="m1",host="{moving}"}}'), f"m1 to take {moving} for silent")
    say(f"    m1 takes {moving} for silent, which m3 knows better")
    expect(webhook, expected)

    say(f"2. {dying} dies, which uploaded to m2")
    fleet.die(dying)
    expected.add(("FleetHealthSilent", "m2", dying))
    expect(webhook, expected)

    hosts = fleet.on("m1")
    say(f"3. m1 is cut off; its {len(hosts)} hosts upload to m3 from now on")
    machines["m1"].cut_off()
    for host in hosts:
        fleet.move(host, "m3")
    expected.add(("FleetHealthGone", "m1", ""))
    expect(webhook, expected)

    say(f"4. prometheus-1 and alertmanager-1 are killed; then {other} dies, which uploaded to m3")
    for name in ("prometheus-1", "alertmanager-1"):
        running[name].kill()
    fleet.die(other)
    expected.add(("FleetHealthSilent", "m3", other))
    expect(webhook, expected)
    say("all as expected")


def main() -> int:
    """Run it in namespaces of its own, so that nothing is left behind."""
    if os.environ.get("FLEET_HEALTH_MACHINES") != "inside":
        apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        environment = {**os.environ, "FLEET_HEALTH_MACHINES": "inside"}
        return subprocess.run([*apart, sys.executable, __file__], env=environment, check=False).returncode
    Path("/run/netns").mkdir(exist_ok=True)
    for command in ("mount --make-rprivate /", "mount -t tmpfs none /run/netns", "ip link set lo up"):
        subprocess.run(command.split(), check=True)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory(prefix="fleet-health-machines-") as directory:
        try:
            play(Path(directory))
        except AssertionError as error:
            say(f"not as expected: {error}")
            for log in sorted(Path(directory).glob("*.log")):
                say(f"--- {log.name}\n{log.read_text(errors='replace')[-2_000:]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
