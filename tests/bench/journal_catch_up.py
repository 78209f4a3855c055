"""Journal catch-up: from the files into the windows, filtered to the receiver's unit among others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.config.loading import load
from fleet_health.model.fleet import Traffic
from fleet_health.sources.journal.source import JournalFollower
from tests.bench import yardsticks
from tests.bench.apart import apart
from tests.bench.data import DAY_US, END_US, old_journal
from tests.bench.measuring import Section, alternate, at_least, counted

if TYPE_CHECKING:
    from tests.bench.data import JournalFacts
    from tests.bench.scale import Scale


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    directory, facts = old_journal(work, entries=scale.journal_entries, hosts=scale.hosts)
    taken = alternate(
        scale.rounds,
        {
            "ours": lambda: _follow(directory, facts),
            "journalctl": lambda: yardsticks.journalctl(directory, facts),
            "fail2ban": lambda: yardsticks.fail2ban_regex(directory, facts, scratch),
            "iteration": lambda: _iterate(directory, facts),
        },
        warm_up=scale.warms_up,
    )
    ours = taken["ours"]
    unit = "entries/s"
    return Section(
        "Journal catch-up",
        f"{facts.entries:,} entries of some twenty fields, {facts.of_unit:,} of them the receiver's, of {scale.hosts}"
        " hosts. Ours is `JournalFollower.poll` into the windows, from opening the journal on, in a process of its own"
        " each time. The programs are taken whole, with their start; fail2ban-regex looks for the refusals only. All"
        " rates are by the time on a processor.",
        (
            at_least(
                "entries into windows", ours, "`journalctl -u … -o cat`", taken["journalctl"], unit=unit, factor=1
            ),
            at_least("entries into windows", ours, "fail2ban-regex", taken["fail2ban"], unit=unit, factor=12),
            at_least(
                "entries into windows", ours, "`for entry in journal.Reader`", taken["iteration"], unit=unit, factor=10
            ),
        ),
    )


def follow(directory: str) -> tuple[float, int, int]:
    """Catch up; return the seconds, the entries read, and the events in the windows."""
    return asyncio.run(_poll(Path(directory)))


async def _poll(directory: Path) -> tuple[float, int, int]:
    settings = load(None, {"journal.directory": ("", str(directory))}).receivers[0].journal
    traffic = Traffic()
    started_at = time.process_time()
    follower = JournalFollower(settings, lookback_us=DAY_US, deliver=traffic.record, clock=lambda: END_US)
    await follower.poll()
    seconds = time.process_time() - started_at
    events = sum(window.count(0, END_US).answers + window.count(0, END_US).unstamped for _, window in traffic.items())
    await follower.close()
    return seconds, follower.state.read, events


def _follow(directory: Path, facts: JournalFacts) -> float:
    seconds: float
    seconds, read, events = apart("journal_catch_up", "follow", directory)
    counted("the journal follower", read, facts.of_unit)
    counted("the windows", events, facts.of_unit)
    return facts.of_unit / seconds


def _iterate(directory: Path, facts: JournalFacts) -> float:
    seconds: float
    seconds, count = apart("yardsticks", "iterate_reader", directory)
    counted("the plain iteration", count, facts.of_unit)
    return facts.of_unit / seconds
