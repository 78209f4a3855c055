"""How far Prometheus carries the rules: series, memory and rule evaluation by the number of hosts, on made-up metrics.

    python tests/scale/prometheus.py                       1,000, 10,000 and 100,000 hosts: about twelve minutes
    python tests/scale/prometheus.py 1000 10000            these alone

Each machine has up to 10,000 hosts, of which a hundredth is silent. Nothing else should run meanwhile. What it prints
belongs into packaging/doc/scale.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fleet_health.api.metrics import HostSeries, Measured, document, hosts_of
from fleet_health.config.loading import load
from fleet_health.engine import Engine
from fleet_health.model.counters import Counters
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response, Upload
from fleet_health.service import clock
from fleet_health.service.footprint import footprint
from tests.rig.ports import reserved_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RULES = Path(__file__).resolve().parents[2] / "packaging/prometheus/fleet-health.rules.yml"

_HOSTS_OF_A_MACHINE = 10_000
_SCRAPE_S, _RULES_S = 15, 30
_WARM_UP_S, _PHASE_S = 35, 60
_MINUTE_US = 60_000_000


class Machine:
    """The metrics of a machine, as they are at some instants: whoever asks gets the next."""

    _INSTANTS = 4

    def __init__(self, number: int, hosts: int) -> None:
        names = [f"machine-{number}-host-{host:06}" for host in range(hosts)]
        settings, now = load(None, {"hosts.limit": ("", hosts)}), clock.now()
        self._texts: list[bytes] = []
        self._asked = 0
        counters, engine = Counters(), Engine(settings.rules())
        for turn in range(self._INSTANTS):
            at = now + turn * _SCRAPE_S * 1_000_000
            fleet = Fleet(hosts)
            fleet.uploads.record(
                # Each once in five minutes, at a time of its own; one of a hundred has stopped.
                Upload(
                    name, at - (45 * _MINUTE_US if place % 100 == 1 else (place * 7_919 + turn * 15) % 300 * 1_000_000)
                )
                for place, name in enumerate(names)
            )
            counters.responses.record("", [Response(name, at, 201) for name in names[turn :: self._INSTANTS]])
            engine.tick(fleet, at)
            measured = Measured(
                version="0",
                settings=settings,
                counters=counters,
                journal_outcomes={},
                sources=(),
                evaluation=engine.last,
                decisions=engine.decisions,
                next_at=None,
                problems=0,
                waiting=0,
                started_at=now,
                footprint=footprint(),
            )
            series = HostSeries(measured)
            series.add(fleet, hosts_of(fleet, measured.open), at)
            self._texts.append(document(measured, series))

    def text(self) -> bytes:
        """Return what is scraped next."""
        self._asked += 1
        return self._texts[self._asked % self._INSTANTS]


@contextmanager
def served(machines: Sequence[Machine]) -> Iterator[int]:
    """Serve the metrics of machines at /0, /1, and so on; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = machines[int(self.path[1:])].text()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def configure(directory: Path, targets: int, port: int, *rules: Path) -> None:
    """Write the configuration."""
    scraped = [
        {
            "job_name": f"fleet-health-{number}",
            "metrics_path": f"/{number}",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": f"m{number}"}}],
            # All of one job, as on as many machines.
            "relabel_configs": [{"target_label": "job", "replacement": "fleet-health"}],
        }
        for number in range(targets)
    ]
    config = {
        "global": {"scrape_interval": f"{_SCRAPE_S}s", "scrape_timeout": "14s", "evaluation_interval": f"{_RULES_S}s"},
        "rule_files": [str(one) for one in rules],
        "scrape_configs": scraped,
    }
    (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML


@contextmanager
def prometheus(directory: Path) -> Iterator[str]:
    """Run Prometheus as long as the context lasts; gives its address."""
    with reserved_port() as port, (directory / "log").open("wb") as log:
        address = f"127.0.0.1:{port}"
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={address}",
                "--web.enable-lifecycle",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield address
        finally:
            process.terminate()
            process.wait()


def own_metrics(address: str) -> dict[str, float]:
    """Return what Prometheus says of itself: the sum of each metric over its series."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    sums: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+)(?:{[^}]*})? (\S+)$", text, re.MULTILINE):
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def asked(address: str, expression: str) -> list[dict[str, Any]]:
    """Return what Prometheus answers to a query."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def processor_s(address: str, during_s: float) -> tuple[float, dict[str, float]]:
    """Return which share of a processor is taken meanwhile, and what Prometheus says of itself then."""
    before = own_metrics(address)["process_cpu_seconds_total"]
    began_at = time.monotonic()
    time.sleep(during_s)
    after = own_metrics(address)
    return (after["process_cpu_seconds_total"] - before) / (time.monotonic() - began_at), after


def measure(hosts: int) -> tuple[str, ...]:
    """Return the figures for a number of hosts, in the order of `HEADER`."""
    sizes = [min(_HOSTS_OF_A_MACHINE, hosts - begin) for begin in range(0, hosts, _HOSTS_OF_A_MACHINE)]
    machines = [Machine(number, size) for number, size in enumerate(sizes)]
    text = sum(len(machine.text()) for machine in machines)
    with tempfile.TemporaryDirectory(prefix="fleet-health-scale-") as name, served(machines) as port:
        directory = Path(name)
        configure(directory, len(machines), port)
        with prometheus(directory) as address:
            time.sleep(_WARM_UP_S)
            scraping, _ = processor_s(address, _PHASE_S)
            configure(directory, len(machines), port, RULES)
            urllib.request.urlopen(f"http://{address}/-/reload", data=b"", timeout=60).close()
            time.sleep(_WARM_UP_S)
            both, after = processor_s(address, _PHASE_S)
            found = asked(address, 'count(ALERTS{alertname="FleetHealthSilent"}) or vector(0)')
            with urllib.request.urlopen(f"http://{address}/api/v1/rules", timeout=60) as answer:
                groups = {group["name"]: group for group in json.load(answer)["data"]["groups"]}
    series, memory = after["prometheus_tsdb_head_series"], after["process_resident_memory_bytes"]
    assert int(found[0]["value"][1]) == sum(size // 100 for size in sizes), "a host in a hundred is silent"
    return (
        f"{hosts:,}",
        f"{len(machines)}",
        f"{text / 2**20:.1f} MiB",
        f"{series:,.0f}",
        f"{memory / 2**20:,.0f} MiB",
        f"{memory / series / 1024:.1f} KiB",
        f"{scraping * _SCRAPE_S:.2f} s",
        f"{max(0.0, both - scraping) * _RULES_S:.2f} s",
        f"{groups['fleet-health']['evaluationTime']:.1f} s",
    )


HEADER = (
    "hosts",
    "machines",
    "text of all",
    "series",
    "memory",
    "per series",
    "processor time of a scrape",
    "of the rules",
    "rules took",
)


def main() -> int:
    """Measure, and print a table."""
    print("|", " | ".join(HEADER), "|")  # noqa: T201
    print("|", " | ".join("---:" for _ in HEADER), "|")  # noqa: T201
    for hosts in map(int, sys.argv[1:] or ("1000", "10000", "100000")):
        print("|", " | ".join(measure(hosts)), "|", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
