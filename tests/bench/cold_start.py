"""Cold start: from the start of the process to READY=1, on years of history."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from tests.bench import yardsticks
from tests.bench.apart import apart
from tests.bench.data import DAY_US, MINUTE_US, SECOND_US, Entries, Rows, host_names, write_index, write_journal
from tests.bench.measuring import Section, alternate, at_most, counted
from tests.bench.processes import configure, service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.scale import Scale

_HISTORY_US = 30 * DAY_US
_WINDOW_US = 30 * MINUTE_US


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    few, many = work / "cold-few.jsonl", work / "cold-many.jsonl"
    _write(few, scale.few_rows, scale)
    _write(many, scale.many_rows, scale)
    journal = scratch / "cold-journal"

    def renew_journal() -> float:
        # The half hour is over by the time of the next round.
        shutil.rmtree(journal, ignore_errors=True)
        now = _now_us()
        entries = Entries(host_names(scale.hosts), others=0)
        count = scale.journal_rate * _WINDOW_US // SECOND_US
        write_journal(journal / "receiver.journal", entries.between(count, now - _WINDOW_US, now))
        return 0.0

    taken = alternate(
        scale.rounds,
        {
            "journal": renew_journal,
            "floor": yardsticks.import_libraries,
            "few": lambda: _start(few, journal, scratch),
            "many": lambda: _start(many, journal, scratch),
            "few, scanned": lambda: _scan(few, scale.few_rows, scale.hosts),
            "many, scanned": lambda: _scan(many, scale.many_rows, scale.hosts),
        },
        warm_up=False,
    )
    few_start, many_start = f"start on {scale.few_rows:,} rows", f"start on {scale.many_rows:,} rows"
    few_scan, many_scan = f"scan of {scale.few_rows:,} rows", f"scan of {scale.many_rows:,} rows"
    section = Section(
        "Cold start",
        f"From the start of the process to READY=1, on an index of 30 days and {scale.hosts} hosts, with"
        f" {scale.rows_in_lookback:,} rows in the lookback of 24 h whatever its size ({few.stat().st_size / 1e9:.2g} GB"
        f" and {many.stat().st_size / 1e9:.2g} GB), and a journal of 30 minutes at {scale.journal_rate} entries/s of"
        " the receiver. The files are in the page cache. The scan is the loop of `json.loads` and"
        " `datetime.fromisoformat` over the same index.",
        (
            at_most(many_start, taken["many"], few_start, taken["few"], unit="s", factor=1.2),
            at_most(many_start, taken["many"], many_scan, taken["many, scanned"], unit="s", factor=1 / 40),
            at_most(few_start, taken["few"], few_scan, taken["few, scanned"], unit="s"),
            at_most(many_start, taken["many"], f"`python3 -c '{yardsticks.IMPORTS}'`", taken["floor"], unit="s"),
        ),
    )
    for index in (few, many):
        index.unlink()
    shutil.rmtree(journal)
    return section


def _write(path: Path, rows: int, scale: Scale) -> None:
    """Write an index up to the present, of which so many rows lie within the last day and the others before it."""
    now, made = _now_us(), Rows(host_names(scale.hosts))
    older = rows - scale.rows_in_lookback
    day_ago = now - DAY_US
    write_index(path, made.between(older, now - _HISTORY_US, day_ago - 20 * MINUTE_US))
    with path.open("ab") as file:
        file.writelines(made.between(scale.rows_in_lookback, day_ago, now, start=older))


def _start(index: Path, journal: Path, scratch: Path) -> float:
    with service(configure(scratch, index=index, journal=journal)) as started:
        return started.seconds


def _scan(index: Path, rows: int, hosts: int) -> float:
    seconds, read, known = apart("yardsticks", "scan_index", index)
    counted("the scan", read, rows)
    counted("the scan's table", known, hosts)
    return float(seconds)


def _now_us() -> int:
    return time.time_ns() // 1000
