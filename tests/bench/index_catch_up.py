"""Index catch-up: from the file into the table of last uploads, every row within the lookback."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.config.loading import load
from fleet_health.model.fleet import Uploads
from fleet_health.sources.index.source import IndexFollower
from tests.bench import yardsticks
from tests.bench.apart import apart
from tests.bench.data import DAY_US, END_US, old_index
from tests.bench.measuring import Section, alternate, at_least, counted

if TYPE_CHECKING:
    from fleet_health.config.schema import IndexSettings
    from tests.bench.scale import Scale


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    rows, hosts = scale.index_rows, scale.hosts
    index = old_index(work, rows=rows, hosts=hosts)
    taken = alternate(
        scale.rounds,
        {
            "ours": lambda: _rate("index_catch_up", "follow", index, rows, hosts),
            "loop": lambda: _rate("yardsticks", "scan_index", index, rows, hosts, "process_time"),
            "mtail": lambda: yardsticks.mtail_once(index, rows, hosts, scratch),
            "wc": lambda: yardsticks.count_lines(index, rows),
        },
        warm_up=scale.warms_up,
    )
    ours = taken["ours"]
    unit = "rows/s"
    return Section(
        "Index catch-up",
        f"{rows:,} rows of {index.stat().st_size / rows:.0f} bytes, of {hosts} hosts, all within the lookback. Ours is"
        " `IndexFollower.poll` into the last uploads, in a process of its own each time, as is the loop. mtail and wc"
        " are taken whole, with their start. All rates are by the time on a processor.",
        (
            at_least(
                "rows into last uploads",
                ours,
                "`json.loads` + `datetime.fromisoformat`",
                taken["loop"],
                unit=unit,
                factor=5,
            ),
            at_least("rows into last uploads", ours, "mtail", taken["mtail"], unit=unit, factor=5),
            at_least("rows into last uploads", ours, "`wc -l`", taken["wc"], unit=unit),
        ),
    )


def follow(index: str) -> tuple[float, int, int]:
    """Catch up; return the seconds, the rows read, and the hosts known."""
    return asyncio.run(catch_up(settings_for(Path(index))))


def settings_for(index: Path) -> IndexSettings:
    """Return the settings by which an index is read, all others at their defaults."""
    return load(None, {"index.path": ("", str(index))}).receivers[0].index


async def catch_up(settings: IndexSettings) -> tuple[float, int, int]:
    """Catch up with an index; return the seconds, the rows read, and the hosts known."""
    uploads = Uploads()
    started_at = time.process_time()
    follower = IndexFollower(settings, lookback_us=40 * DAY_US, deliver=uploads.record, clock=lambda: END_US)
    await follower.poll()
    seconds = time.process_time() - started_at
    await follower.close()
    return seconds, follower.state.read, len(list(uploads.items()))


def _rate(module: str, function: str, index: Path, rows: int, hosts: int, *arguments: str) -> float:
    seconds: float
    seconds, read, known = apart(module, function, index, *arguments)
    counted(function, read, rows)
    counted(f"{function}'s table", known, hosts)
    return rows / seconds
