"""Commands as a person calls them: `--help`, and `status` of a service with many hosts."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.data import MINUTE_US, Entries, Rows, host_names, write_index, write_journal
from tests.bench.measuring import Section, alternate, at_most, counted, limited
from tests.bench.processes import configure, service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.scale import Scale

_HELP_FACTOR, _STATUS_LIMIT_S = 1.5, 0.3


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    hosts, site = max(scale.followed), scratch / "commands"
    site.mkdir()
    index, journal, now_us = work / "commands-index.jsonl", site / "journal", time.time_ns() // 1000
    names = host_names(hosts)
    write_index(index, Rows(names).between(2 * hosts, now_us - 15 * MINUTE_US, now_us))
    entries = Entries(names, others=0).between(2 * hosts, now_us - 15 * MINUTE_US, now_us)
    write_journal(journal / "receiver.journal", entries)
    config = configure(site, index=index, journal=journal)
    fleet_health = (sys.executable, "-m", "fleet_health")
    with service(config) as started:
        taken = alternate(
            scale.rounds,
            {
                "help": lambda: _seconds(*fleet_health, "--help"),
                "python": lambda: _seconds(sys.executable, "-c", "pass"),
                "status": lambda: _seconds(*fleet_health, "status", "--config", str(config)),
            },
        )
        counted("the service", started.hosts_watched(), hosts)
    index.unlink()
    return Section(
        "Commands",
        "Timed whole, from the start of the process to its end. `status` asks a service that watches"
        f" {hosts:,} hosts, of which none is in trouble, and lists all of them into a pipe.",
        (
            at_most("`--help`", taken["help"], "`python -c pass`", taken["python"], unit="s", factor=_HELP_FACTOR),
            limited(f"`status`, {hosts:,} hosts", taken["status"].median, "s", _STATUS_LIMIT_S),
        ),
    )


def _seconds(*command: str) -> float:
    started_at = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return time.perf_counter() - started_at
