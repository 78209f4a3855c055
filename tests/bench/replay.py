"""Replay: a month of the past evaluated again, tick by tick."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import yardsticks
from tests.bench.apart import apart
from tests.bench.data import DAY_US, END_US, Entries, host_names, iso, old_index, write_journal
from tests.bench.measuring import Row, Section, alternate, at_most, counted
from tests.bench.processes import anonymous_bytes, configure

if TYPE_CHECKING:
    from tests.bench.scale import Scale

_FACTOR = 0.7
_MONTH = 30
_POLL_S = 0.05
_TICKS_A_DAY = 288
_UNIT = "cis490-receiver.service"


def run(scale: Scale, work: Path, scratch: Path) -> Section:
    """Measure it."""
    rows, month = scale.replayed, scale.replayed_days
    index = old_index(work, rows=rows, hosts=scale.hosts)
    quiet, busy = (_journal(scratch, entries, scale.hosts) for entries in (scale.hosts, rows))
    configurations = {}
    for name, journal in (("quiet", quiet), ("busy", busy)):
        (scratch / name).mkdir()
        configurations[name] = configure(scratch / name, index=index, journal=journal)
    part = max(1, month // 3)
    memory: dict[int, int] = {}

    def replay_busy(days: int) -> float:
        seconds, memory[days] = _replay(configurations["busy"], days)
        return seconds

    taken = alternate(
        scale.rounds,
        {
            "quiet": lambda: _replay(configurations["quiet"], month)[0],
            "busy": lambda: replay_busy(month),
            "read": lambda: _read_once(index, busy, rows, scale.hosts),
        },
        warm_up=scale.warms_up,
    )
    replay_busy(part)
    few, many = memory[part], memory[month]
    plain = "`journalctl -u … -o cat`, and the loop over the index"
    return Section(
        "Replay",
        f"`fleet-health replay --json` of {month} days with a tick of 5 minutes, timed whole, on an index of {rows:,}"
        f" rows of {scale.hosts} hosts: with a journal of {scale.hosts:,} entries, and with one of {rows:,} access"
        " lines. Beside it stands what it takes to read the same once: journalctl into /dev/null, and then"
        " the loop of `json.loads` and `datetime.fromisoformat`. Memory is RssAnon of all its processes, at its"
        " highest, looked at twenty times a second.",
        (
            at_most(f"{month} days, {rows:,} rows", taken["quiet"], plain, taken["read"], unit="s", factor=_FACTOR),
            at_most(
                f"{month} days, {rows:,} rows and as many access lines",
                taken["busy"],
                plain,
                taken["read"],
                unit="s",
                factor=_FACTOR,
            ),
            Row(
                f"memory of {month} days",
                f"{many / 2**20:.0f} MiB",
                f"memory of {part} days",
                f"{few / 2**20:.0f} MiB",
                many / few,
                "does not grow: at most 1.25 x",
                many / few <= 1.25,
            ),
        ),
    )


def _journal(scratch: Path, entries: int, hosts: int) -> Path:
    directory = scratch / f"month-{entries}"
    made = Entries(host_names(hosts), others=0)
    write_journal(directory / "receiver.journal", made.between(entries, END_US - _MONTH * DAY_US, END_US))
    return directory


def _replay(configuration: Path, days: int) -> tuple[float, int]:
    """Replay so many days; return the seconds, and the memory at its highest."""
    since, until = (iso(at).decode() for at in (END_US - days * DAY_US, END_US))
    command = [sys.executable, "-m", "fleet_health", "replay", "--config", str(configuration), "--json"]
    started_at, highest = time.perf_counter(), 0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*command, "--since", since, "--until", until], stdout=output)
        while process.poll() is None:
            highest = max(highest, _memory(process.pid))
            time.sleep(_POLL_S)
        seconds = time.perf_counter() - started_at
        output.seek(0)
        counted("the replay", json.load(output)["ticks"], days * _TICKS_A_DAY)
    return seconds, highest


def _memory(pid: int) -> int:
    total = 0
    with suppress(OSError, KeyError):  # one may have ended by now
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        for one in (pid, *map(int, children)):
            total += anonymous_bytes(one)
    return total


def _read_once(index: Path, journal: Path, rows: int, hosts: int) -> float:
    command = ["journalctl", "--directory", str(journal), "--unit", _UNIT, "--output", "cat", "--quiet"]
    seconds, read, known = apart("yardsticks", "scan_index", index)
    counted("the scan", read, rows)
    counted("the scan's table", known, hosts)
    return float(seconds) + yardsticks.seconds_of(command)
