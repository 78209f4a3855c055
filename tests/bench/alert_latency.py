"""Alert latency: from the tick's instant until the rows are synced and the journal entries have arrived."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.model.observation import Upload
from fleet_health.service import clock
from tests.bench import yardsticks
from tests.bench.apart import apart
from tests.bench.data import MINUTE_US, SECOND_US, host_names
from tests.bench.datagrams import listening
from tests.bench.measuring import Samples, Section, at_most, counted
from tests.bench.wiring import site_settings, wired

if TYPE_CHECKING:
    from tests.bench.scale import Scale

_AFTER_US = 30 * MINUTE_US
_REST_S = 0.2
_POLL_S = 0.01
_WELL_HOSTS = 500


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    # Beside the data, which lies on a real disk: a temporary directory may be in memory, where a sync is nothing.
    with (
        tempfile.TemporaryDirectory(dir=work) as directory,
        tempfile.TemporaryDirectory(dir=scratch) as socket_directory,
        listening(Path(socket_directory, "socket")) as entries,
    ):
        ticks, syncs, size = apart(
            "alert_latency", "latencies", scale.alerts, scale.rounds, directory, f"{socket_directory}/socket"
        )
        time.sleep(_REST_S)
    counted("the journal", len(entries), scale.alerts * scale.rounds)
    last_entries = entries[scale.alerts - 1 :: scale.alerts]
    latencies = [(entry.at_us - tick) / 1000 for entry, tick in zip(last_entries, ticks, strict=True)]
    return Section(
        "Alert latency",
        f"From the tick's instant to the last of {scale.alerts} journal entries at a socket in journald's place, which"
        f" are sent only when the rows are synced; {_WELL_HOSTS} more hosts are well. The service's evaluator, put"
        f" together as in the daemon, ticks every two seconds. The yardstick is one write and fsync of the same"
        f" {size:,} bytes at the end of another file in the same directory, between the ticks.",
        (
            at_most(
                f"tick to {scale.alerts} synced rows and journal entries",
                Samples(tuple(latencies)),
                "one write and fsync",
                Samples(tuple(1000 * seconds for seconds in syncs)),
                unit="ms",
                factor=5,
            ),
        ),
    )


def latencies(alerts: int, rounds: int, directory: str, socket: str) -> tuple[list[int], list[float], int]:
    """Let so many hosts fall silent at a tick, so often.

    Returns:
        The instants of the ticks, the seconds of a write and sync of the same bytes after each, and the bytes.

    """
    return asyncio.run(_latencies(alerts, rounds, Path(directory), Path(socket)))


async def _latencies(alerts: int, rounds: int, directory: Path, socket: Path) -> tuple[list[int], list[float], int]:
    scheduled = asyncio.Event()
    settings = site_settings(directory, hosts=alerts * rounds + _WELL_HOSTS, tick="2s")
    names = iter([name.decode() for name in host_names(alerts * rounds + _WELL_HOSTS)])
    ticks: list[int] = []
    syncs: list[float] = []
    size = 0
    yardsticks.write_and_sync(directory / "yardstick.jsonl", b"\n")
    async with wired(settings, socket, scheduled.set) as parts:
        parts.fleet.uploads.record(Upload(next(names), clock.now()) for _ in range(_WELL_HOSTS))
        evaluation = asyncio.create_task(parts.evaluator.run())
        await scheduled.wait()
        for _ in range(rounds):
            scheduled.clear()
            tick = parts.evaluator.next_at
            assert tick is not None
            ticks.append(tick)
            # Too late for the tick before, and silent at this one.
            silent_since = tick - _AFTER_US - SECOND_US // 2
            parts.fleet.uploads.record([Upload(next(names), silent_since) for _ in range(alerts)])
            before = parts.alerts.stat().st_size if parts.alerts.exists() else 0
            await scheduled.wait()
            await parts.delivery.settle()
            while parts.journal.has_pending:  # noqa: ASYNC110 - it has nobody to tell
                await asyncio.sleep(_POLL_S)
            await asyncio.sleep(_REST_S)
            rows = parts.alerts.read_bytes()[before:]
            counted("the alert log", rows.count(b"\n"), alerts)
            size = len(rows)
            syncs.append(yardsticks.write_and_sync(directory / "yardstick.jsonl", rows))
        evaluation.cancel()
        with suppress(asyncio.CancelledError):
            await evaluation
    return ticks, syncs, size
