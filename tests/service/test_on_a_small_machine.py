"""On a small machine, such as a Raspberry Pi with other work to do, the service keeps its pace."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from fleet_health.demo.journal import find_writer
from tests.bench.data import MINUTE_US, Entries, Rows, host_names, write_index, write_journal
from tests.bench.live_receiver import live_receiver
from tests.bench.processes import configure, service
from tests.rig.api_client import ApiClient
from tests.rig.small_machine import NoControlGroup, small_machine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import DoWithout, Eventually

HOSTS, RATE = 500, 100
TICK_S, TICKS = 4, 3


class Metrics:
    """The metrics of the service at one instant."""

    def __init__(self, socket: Path) -> None:
        with ApiClient(socket) as client:
            HTTPConnection.request(client, "GET", "/metrics")
            self._text = client.getresponse().read().decode()

    def of(self, name: str, label: str = "") -> float:
        """Return the sum of the series of a metric that have a label."""
        return sum(map(float, re.findall(rf"(?m)^{name}(?:{{.*{label}.*}})? (\S+)$", self._text)))

    @property
    def evaluated_at(self) -> float:
        """When the fleet was last evaluated."""
        return self.of("fleet_health_last_evaluation_timestamp_seconds")

    @property
    def evaluations(self) -> float:
        """How many evaluations there were."""
        return self.of("fleet_health_evaluations_total")


def test_no_tick_is_missed_on_a_small_machine(tmp_path: Path, eventually: Eventually, do_without: DoWithout) -> None:
    """With a tenth of a processor, 128 MiB and 100 uploads a second, each tick is evaluated, with all rows by then."""
    if find_writer() is None:
        do_without("systemd-journal-remote is not installed")
    index, journal, now_us = tmp_path / "index.jsonl", tmp_path / "journal", time.time_ns() // 1000
    names = host_names(HOSTS)
    write_index(index, Rows(names).between(HOSTS * 20, now_us - 30 * MINUTE_US, now_us))
    write_journal(journal / "before.journal", Entries(names).between(HOSTS * 20, now_us - 30 * MINUTE_US, now_us))
    config = configure(tmp_path, index=index, journal=journal, text=f'tick = "{TICK_S}s"\n')
    try:
        with (
            small_machine(cpu=0.1, memory=128 << 20) as machine,
            live_receiver(index, journal / "live.journal", hosts=HOSTS, rate=RATE),
            service(config, machine.launcher),
        ):
            socket = tmp_path / "control.sock"
            eventually(lambda: Metrics(socket).evaluations >= 2, "the first tick")
            first = Metrics(socket)
            eventually(lambda: Metrics(socket).evaluations >= first.evaluations + TICKS, "some more ticks")
            last = Metrics(socket)
            throttled = machine.throttled
    except NoControlGroup as reason:
        do_without(str(reason))

    ticks = (last.evaluated_at - first.evaluated_at) / TICK_S
    rows = (datetime.fromisoformat(json.loads(row)["received_at_wall"]) for row in index.read_text().splitlines())
    written = sum(at.timestamp() <= last.evaluated_at for at in rows)
    assert round(ticks) == last.evaluations - first.evaluations
    assert last.of("fleet_health_source_entries_total", 'source="index"') >= written > HOSTS * 20
    assert throttled > 0
