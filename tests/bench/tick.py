"""The tick: what an evaluation takes, and for how long at a time it keeps the event loop from everything else."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response, Unstamped, Upload
from fleet_health.model.window import REFUSED
from fleet_health.service import clock
from tests.bench.apart import apart
from tests.bench.data import MINUTE_US, host_names
from tests.bench.datagrams import listening
from tests.bench.measuring import Row, Section, Table, limited, shown
from tests.bench.wiring import site_settings, wired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.scale import Scale

_MODERATE, _LIMIT_MS, _BLOCK_LIMIT_MS = 10_000, 10.0, 20.0
# SavedState that no longer fits the processor's caches costs something, and is no fault of the algorithm.
_LINEAR = 1.25
_PROBE_S = 0.0005


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    del work
    evaluations: dict[int, float] = {}
    blocks: dict[int, list[float]] = {}
    for hosts in scale.fleets:
        evaluations[hosts] = 1e3 * statistics.median(apart("tick", "evaluations", hosts, scale.answers, scale.rounds))
        with tempfile.TemporaryDirectory(dir=scratch) as directory, listening(Path(directory, "socket")):
            blocks[hosts] = [
                1e3 * gap for gap in apart("tick", "blocks", hosts, scale.answers, scale.rounds, directory)
            ]
    moderate = _MODERATE if _MODERATE in evaluations else max(evaluations)
    rows = [limited(f"evaluate {moderate:,} hosts", evaluations[moderate], "ms", _LIMIT_MS)]
    rows += [_linear(evaluations, hosts, moderate) for hosts in scale.fleets if hosts > moderate]
    rows += [
        limited(f"longest the loop was blocked in a tick, {hosts:,} hosts", max(gaps), "ms", _BLOCK_LIMIT_MS)
        for hosts, gaps in blocks.items()
    ]
    return Section(
        "Tick",
        f"`evaluate` with all detectors at their defaults, on hosts with {scale.answers} answers in the window of 30"
        " minutes, of which one in 100 is silent, one in 100 always refused and one in 200 unstamped; the median of the"
        f" time on a processor of {scale.rounds} evaluations. The loop's longest block is that of {scale.rounds + 1}"
        " ticks of the service's evaluator, put together as in the daemon with its sources, the alert log and a journal"
        " socket; the first tick has all the alerts. A coroutine that sleeps for half a millisecond at a time notices"
        " it.",
        tuple(rows),
        (
            Table(
                ("hosts", "evaluate", "per host", "longest block, tick with alerts", "longest block, later ticks"),
                tuple(
                    (
                        f"{hosts:,}",
                        shown(evaluations[hosts], "ms"),
                        shown(evaluations[hosts] * 1e3 / hosts, "µs"),
                        shown(blocks[hosts][0], "ms"),
                        shown(max(blocks[hosts][1:]), "ms"),
                    )
                    for hosts in scale.fleets
                ),
            ),
        ),
    )


def _linear(evaluations: dict[int, float], hosts: int, fewer: int) -> Row:
    ours, theirs = (evaluations[count] * 1e3 / count for count in (hosts, fewer))
    return Row(
        f"evaluate {hosts:,} hosts, per host",
        shown(ours, "µs"),
        f"the same with {fewer:,}",
        shown(theirs, "µs"),
        ours / theirs,
        f"linear: at most {_LINEAR:g} x",
        ours / theirs <= _LINEAR,
    )


def fill(fleet: Fleet, hosts: int, answers: int, now: int) -> None:
    """Fill a fleet with hosts that uploaded lately, most of them well; what was accepted has a row."""
    span = 28 * MINUTE_US
    instants = [now - span + span * turn // answers for turn in range(answers)]
    for number, name in enumerate(name.decode() for name in host_names(hosts)):
        fleet.uploads.take(name, now - 45 * MINUTE_US)
        if number % 100 != 1:  # the others are silent
            observations = list(_answers(name, number, instants))
            fleet.traffic.record(observations)
            fleet.uploads.record(
                Upload(name, one.at) for one in observations if isinstance(one, Response) and one.status < REFUSED
            )


def _answers(host: str, number: int, instants: list[int]) -> Iterator[Response | Unstamped]:
    is_refused, is_unstamped = number % 100 == 2, number % 200 == 3
    for turn, at in enumerate(instants):
        if is_unstamped and turn % 2:
            yield Unstamped(host, at)
        else:
            yield Response(host, at, 412 if is_refused or turn % 20 == 7 else 201)


def evaluations(hosts: int, answers: int, rounds: int) -> list[float]:
    """Evaluate so often; return the CPU seconds of each, after one that does not count."""
    now = clock.now()
    fleet = Fleet(hosts)
    fill(fleet, hosts, answers, now)
    detectors = load(None, {"hosts.limit": ("", hosts)}).detectors()
    seconds = []
    for _ in range(rounds + 1):
        started_at = time.process_time()
        evaluation = evaluate(fleet, detectors, now)
        seconds.append(time.process_time() - started_at)
        assert {finding.symptom for finding in evaluation.findings} >= {"silent"}
    return seconds[1:]


def blocks(hosts: int, answers: int, rounds: int, directory: str) -> list[float]:
    """Tick so often after the first tick, which has all the alerts; return each one's longest block, in seconds."""
    return asyncio.run(_blocks(hosts, answers, rounds + 1, Path(directory)))


async def _blocks(hosts: int, answers: int, ticks: int, directory: Path) -> list[float]:
    scheduled = asyncio.Event()
    settings = site_settings(directory, hosts=hosts, tick="1s")
    longest = []
    async with wired(settings, directory / "socket", scheduled.set) as parts:
        fill(parts.fleet, hosts, answers, clock.now())
        probe = Probe()
        running = [asyncio.create_task(probe.run()), asyncio.create_task(parts.evaluator.run())]
        for _ in range(ticks):
            await scheduled.wait()
            scheduled.clear()
            await parts.delivery.settle()
            longest.append(probe.take())
        assert parts.alerts.stat().st_size > 0
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    return longest


class Probe:
    """Notices when the loop does not come round."""

    def __init__(self) -> None:
        self._longest = 0.0

    async def run(self) -> None:
        """Go on noticing, for ever."""
        while True:
            slept_at = time.perf_counter()
            await asyncio.sleep(_PROBE_S)
            self._longest = max(self._longest, time.perf_counter() - slept_at - _PROBE_S)

    def take(self) -> float:
        """Return the longest block since this was last asked."""
        longest, self._longest = self._longest, 0.0
        return longest
