"""Steady state: what the real service costs while a receiver is at work, or is not."""

from __future__ import annotations

import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from fleet_health.demo.journal import RECEIVER_UNIT
from tests.bench import yardsticks
from tests.bench.data import MINUTE_US, SECOND_US, Entries, Rows, host_names, write_index, write_journal
from tests.bench.live_receiver import live_receiver
from tests.bench.measuring import Missing, Row, Section, Table, counted, limited, shown
from tests.bench.processes import anonymous_bytes, configure, service, usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.bench.processes import Usage
    from tests.bench.scale import Scale

_SERVICE, _IMPORTS = "fleet-health", "imports only"
_PEERS = ("fail2ban-server", "mtail", _IMPORTS)
_WINDOW_US, _TICK_US = 30 * MINUTE_US, 5 * MINUTE_US
_SETTLING_S = 6.0

_IDLE_CPU, _IDLE_WAKEUPS, _BUSY_CPU = 0.2, 0.5, 0.6
_MEMORY_FACTOR, _BYTES_A_HOST, _BYTES_AN_EVENT = 1.1, 1_024.0, 16.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process costs.

    Attributes:
        cpu: Percent of a core.
        wakeups: Context switches a second.
        anonymous: Bytes of memory of its own, at the end.

    """

    cpu: float
    wakeups: float
    anonymous: int


@dataclass(frozen=True, slots=True)
class Load:
    """One load, and what it cost each process.

    Attributes:
        hosts: How many hosts.
        rate: Uploads a second.
        events: How many answers the windows held at the end.
        costs: By process.
        missing: Which process is not among them, and why.

    """

    hosts: int
    rate: int
    events: int
    costs: dict[str, Cost]
    missing: dict[str, str]

    @property
    def service(self) -> Cost:
        """What it cost our service."""
        return self.costs[_SERVICE]


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    loads = [_measure(scale, work, scratch, hosts, rate) for hosts in scale.followed for rate in scale.rates]
    by_load = {(load.hosts, load.rate): load for load in loads}
    fewest, most = min(scale.followed), max(scale.followed)
    idle, busy = by_load[fewest, 0], by_load[fewest, max(scale.rates)]
    rows = [
        *(
            row
            for load in loads
            if load.rate == 0
            for row in (
                _beside(load, "CPU", _IDLE_CPU, "% of a core"),
                _beside(load, "wakeups", _IDLE_WAKEUPS, "/s"),
            )
        ),
        *(_beside(load, "CPU", _BUSY_CPU, "% of a core") for load in loads if load.rate == max(scale.rates)),
        _memory_beside_imports(idle),
        limited(
            f"memory a host, from {fewest:,} to {most:,} hosts, idle",
            (by_load[most, 0].service.anonymous - idle.service.anonymous) / (most - fewest),
            "bytes",
            _BYTES_A_HOST,
        ),
        limited(
            f"memory an event held, at {busy.rate:,} PUT/s, {fewest:,} hosts",
            (busy.service.anonymous - idle.service.anonymous) / (busy.events - idle.events),
            "bytes",
            _BYTES_AN_EVENT,
        ),
    ]
    return Section(
        "Steady state",
        "The real service with its default tick, while another process appends rows to the index and entries to a real"
        " journal through systemd-journal-remote. All processes follow the same files at the same time, so each"
        " figure has its yardsticks beside it; CPU and wakeups (context switches of all threads) are medians of"
        f" {scale.rounds} stretches of {scale.window_s:g} s, memory is RssAnon at the end. When it begins the journal"
        f" holds {scale.history_s / 60:g} minutes at the same rate, or without uploads one answer to each host;"
        " fail2ban starts with the last 10 s of it. 'Imports only' is a Python that has imported what the service"
        " imports from others.",
        tuple(rows),
        (_table(loads),),
    )


def _measure(scale: Scale, work: Path, scratch: Path, hosts: int, rate: int) -> Load:
    site, scratch = work / "steady", scratch / "steady"
    for directory in (site, scratch):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
    index, journal = site / "index.jsonl", site / "journal"
    count = int(rate * scale.history_s) or hosts
    began_us = time.time_ns() // 1000
    # Every host has uploaded of late, so that none falls silent meanwhile.
    write_index(index, Rows(host_names(hosts)).between(2 * hosts, began_us - 15 * MINUTE_US, began_us))
    history = Entries(host_names(hosts), others=0)
    first_us = began_us - int(scale.history_s * SECOND_US)
    write_journal(journal / "history.journal", history.between(count, first_us, began_us))
    peers: dict[str, Callable[[], AbstractContextManager[int]]] = {
        "fail2ban-server": lambda: yardsticks.fail2ban_server(journal, scratch),
        "mtail": lambda: yardsticks.mtail(index, scratch),
        _IMPORTS: yardsticks.idle_imports,
    }
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(live_receiver(index, journal / "live.journal", hosts=hosts, rate=rate))
        started = enter(service(configure(scratch, index=index, journal=journal)))
        pids = {_SERVICE: started.pid}
        evaluated_us = time.time_ns() // 1000
        for name, start_peer in peers.items():
            try:
                pids[name] = enter(start_peer())
            except Missing as reason:
                missing[name] = str(reason)
        time.sleep(min(_SETTLING_S, scale.window_s))
        marks = [_usages(pids)]
        for _ in range(scale.rounds):
            time.sleep(scale.window_s)
            marks.append(_usages(pids))
        anonymous = {name: anonymous_bytes(pid) for name, pid in pids.items()}
        counted("the service", started.hosts_watched(), hosts)
        ended_us = time.time_ns() // 1000
    events = _events(journal, max(evaluated_us, ended_us - ended_us % _TICK_US))
    shutil.rmtree(site)
    spans = list(pairwise(marks))
    return Load(
        hosts,
        rate,
        events,
        {
            name: Cost(
                statistics.median(later[name].cpu_share_since(earlier[name]) for earlier, later in spans),
                statistics.median(later[name].wakeups_since(earlier[name]) for earlier, later in spans),
                anonymous[name],
            )
            for name in pids
        },
        missing,
    )


def _usages(pids: dict[str, int]) -> dict[str, Usage]:
    return {name: usage(pid) for name, pid in pids.items()}


def _events(journal: Path, evaluated_us: int) -> int:
    """Count the receiver's entries that are held: those which the latest evaluation kept, and what came since."""
    since = f"@{(evaluated_us - _WINDOW_US) // SECOND_US}"
    run = ["journalctl", "--directory", str(journal), "--unit", RECEIVER_UNIT, "--since", since, "-o", "cat", "-q"]
    return yardsticks.lines_of(run)


def _beside(load: Load, what: str, limit: float, unit: str) -> Row:
    def figure(cost: Cost) -> float:
        return cost.cpu if what == "CPU" else cost.wakeups

    at = f"{load.rate:,} PUT/s" if load.rate else "idle"
    theirs = [
        f"{name} {shown(figure(load.costs[name]), unit) if name in load.costs else load.missing[name]}"
        for name in _PEERS
    ]
    return limited(
        f"{what}, {at}, {load.hosts:,} hosts",
        figure(load.service),
        unit,
        limit,
        yardstick="the neighbours",
        their_figure="; ".join(theirs),
    )


def _memory_beside_imports(idle: Load) -> Row:
    ours, theirs = idle.service.anonymous, idle.costs[_IMPORTS].anonymous
    return Row(
        f"memory (RssAnon), idle, {idle.hosts:,} hosts",
        _mib(ours),
        "imports only",
        _mib(theirs),
        ours / theirs,
        f"at most {_MEMORY_FACTOR:g} x",
        ours / theirs <= _MEMORY_FACTOR,
    )


def _table(loads: list[Load]) -> Table:
    header = ("hosts", "PUT/s", "events held", "process", "CPU, % of a core", "wakeups/s", "RssAnon")
    return Table(
        header,
        tuple(
            (
                f"{load.hosts:,}",
                f"{load.rate:,}",
                f"{load.events:,}",
                name,
                f"{cost.cpu:.3f}",
                f"{cost.wakeups:.1f}",
                _mib(cost.anonymous),
            )
            for load in loads
            for name, cost in load.costs.items()
        ),
    )


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"
