"""The metrics: what it takes to write them from the state, beside the client library, which keeps every series."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.api.metrics import HostSeries, Measured, document, hosts_of
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate
from fleet_health.engine import Engine
from fleet_health.model.counters import Counters
from fleet_health.model.fleet import Fleet
from fleet_health.service import clock
from fleet_health.service.footprint import footprint
from tests.bench.apart import apart
from tests.bench.measuring import Samples, Section, Table, at_most, limited, shown
from tests.bench.tick import Probe, fill

if TYPE_CHECKING:
    from tests.bench.scale import Scale

_SLICE, _MODERATE, _LIMIT_MS = 500, 10_000, 20.0


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    del work, scratch
    ours: dict[int, list[list[float]]] = {}
    theirs: dict[int, list[list[float]]] = {}
    for hosts in scale.fleets:
        rounds = scale.rounds if hosts <= _MODERATE else 1
        ours[hosts] = [apart("metrics", "written", hosts, scale.answers) for _ in range(rounds)]
        theirs[hosts] = [apart("metrics", "by_client", hosts, scale.answers) for _ in range(rounds)]
    moderate = _MODERATE if _MODERATE in ours else max(ours)

    def samples(figures: dict[int, list[list[float]]], place: int) -> Samples:
        return Samples(tuple(one[place] for one in figures[moderate]))

    return Section(
        "Metrics",
        f"`/metrics` with all series of each host, five of them; hosts as for the tick, with {scale.answers} answers"
        " each. Memory is what is taken at most above the service's state. The client library (prometheus-client) keeps"
        f" each series as an object; ours are written anew for {_SLICE} hosts at a time, in a thread.",
        (
            at_most(
                f"write {moderate:,} hosts",
                samples(ours, 0),
                "prometheus-client",
                samples(theirs, 0),
                unit="ms",
                factor=1,
            ),
            at_most(
                f"memory for {moderate:,} hosts",
                samples(ours, 1),
                "prometheus-client",
                samples(theirs, 1),
                unit="MiB",
                factor=1,
            ),
            limited(
                f"longest the loop was blocked, {moderate:,} hosts",
                max(one[2] for one in ours[moderate]),
                "ms",
                _LIMIT_MS,
            ),
        ),
        (
            Table(
                ("hosts", "series", "text", "written", "memory", "longest block", "client library", "its memory"),
                tuple(_row(hosts, ours[hosts][-1], theirs[hosts][-1]) for hosts in scale.fleets),
            ),
        ),
    )


def _row(hosts: int, ours: list[float], theirs: list[float]) -> tuple[str, ...]:
    took, memory, block, size, series = ours
    return (
        f"{hosts:,}",
        f"{int(series):,}",
        shown(size, "MiB"),
        shown(took, "ms"),
        shown(memory, "MiB"),
        shown(block, "ms"),
        shown(theirs[0], "ms"),
        shown(theirs[1], "MiB"),
    )


def written(hosts: int, answers: int) -> list[float]:
    """Write the metrics; return the milliseconds, the memory and the text in MiB, the longest block, and the series."""
    return asyncio.run(_written(hosts, answers))


async def _written(hosts: int, answers: int) -> list[float]:
    measured, fleet, now = _state(hosts, answers)
    probe = Probe()
    probing = asyncio.create_task(probe.run())
    await asyncio.sleep(0)
    before = _peak_from_now()
    probe.take()
    started_at = time.perf_counter()
    series = await asyncio.to_thread(HostSeries, measured)
    names = await asyncio.to_thread(hosts_of, fleet, measured.open)
    for begin in range(0, len(names), _SLICE):
        await asyncio.to_thread(series.add, fleet, names[begin : begin + _SLICE], now)
    text = await asyncio.to_thread(document, measured, series)
    took, block = time.perf_counter() - started_at, probe.take()
    memory = _peak() - before
    probing.cancel()
    return [took * 1e3, memory, block * 1e3, len(text) / 2**20, len(re.findall(rb"^[^#]", text, re.MULTILINE))]


def by_client(hosts: int, answers: int) -> list[float]:
    """Do the same with the client library: set each series, and have the text written."""
    from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest  # noqa: PLC0415 - theirs alone

    measured, fleet, _ = _state(hosts, answers)
    before = _peak_from_now()
    started_at = time.perf_counter()
    registry = CollectorRegistry()
    uploaded = Gauge("fleet_health_host_last_upload_timestamp_seconds", "When.", ["host"], registry=registry)
    responses = Counter("fleet_health_host_responses", "How many.", ["host", "class"], registry=registry)
    states = Gauge("fleet_health_host_state", "Which.", ["host", "state"], registry=registry)
    for host in hosts_of(fleet, measured.open):
        if (at := fleet.accepted_at(host)) is not None:
            uploaded.labels(host).set(at / 1e6)
        for of_class, count in zip(("2xx", "4xx", "5xx"), measured.counters.responses.of(host), strict=True):
            responses.labels(host, of_class).inc(count)
        states.labels(host, "well").set(1)
    text = generate_latest(registry)
    took, memory = time.perf_counter() - started_at, _peak() - before
    assert text.count(b"\n") >= hosts
    return [took * 1e3, memory]


def _state(hosts: int, answers: int) -> tuple[Measured, Fleet, int]:
    now = clock.now()
    fleet, settings = Fleet(hosts), load(None, {"hosts.limit": ("", hosts)})
    fill(fleet, hosts, answers, now)
    engine = Engine(settings.rules())
    engine.decide(evaluate(fleet, settings.detectors(), now))
    measured = Measured(
        version="0",
        settings=settings,
        counters=Counters(),
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
    return measured, fleet, now


def _peak_from_now() -> float:
    """Begin to note the most memory anew; return what is taken at present, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5)
    return _peak()


def _peak() -> float:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
