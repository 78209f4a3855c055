"""The work whose instructions are counted: three inner loops of the service, each on so little that it is soon done.

    valgrind --tool=callgrind --instr-atstart=no … python workloads.py LIBRARY

LIBRARY is `counting.c`, compiled. Each workload is done twice, and counted the second time: then what is made once,
such as a compiled pattern, is there.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from fleet_health.config.loading import load
from fleet_health.engine import Engine
from fleet_health.model.fleet import Fleet
from fleet_health.model.traffic import Traffic
from fleet_health.sources.journal.lines import log_parser
from tests.bench.data import END_US, MINUTE_US, Entries, host_names, old_index
from tests.bench.index_catch_up import catch_up, settings_for
from tests.bench.tick import fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection

_HOSTS = 500
_ROWS, _LINES, _ANSWERS = 6_000, 2_500, 60


def main() -> None:
    """Do each workload; print how many pieces each is of."""
    counting = ctypes.CDLL(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        for name in WORKLOADS:
            # Each in a process of its own: callgrind counts wrong when it begins once more.
            if (child := os.fork()) == 0:
                _count(counting, name, Path(directory))
                os._exit(0)
            if os.waitpid(child, 0)[1] != 0:
                raise SystemExit(f"{name}: it failed")
    sys.stdout.write(json.dumps({name: count for name, (_, count) in WORKLOADS.items()}) + "\n")


def _count(counting: ctypes.CDLL, name: str, directory: Path) -> None:
    prepare, _ = WORKLOADS[name]
    prepare(directory)()
    work = prepare(directory)
    gc.collect()
    counting.begin_counting()
    work()
    counting.end_counting(name.encode())


def _index(directory: Path) -> Callable[[], object]:
    """Read an index from the file into the last uploads."""
    settings = settings_for(old_index(directory, rows=_ROWS, hosts=_HOSTS))
    return lambda: asyncio.run(catch_up(settings))


def _journal(_directory: Path) -> Callable[[], object]:
    """Read the messages of a receiver's journal into the windows; libsystemd is left out, for it is not ours."""
    made = Entries(host_names(_HOSTS), others=0)
    messages = re.findall(rb"(?m)^MESSAGE=(.*)$", b"".join(made.between(_LINES, END_US - MINUTE_US, END_US)))
    parser, traffic = log_parser(load(None, {}).receivers[0].journal), Traffic()

    def work() -> None:
        observations: list[LogObservation] = []
        rejections: list[Rejection] = []
        for number, message in enumerate(messages):
            parser.parse_into(observations, rejections, message, END_US + number)
        traffic.record(observations)

    return work


def _evaluation(_directory: Path) -> Callable[[], object]:
    """Evaluate a fleet of which one host in 40 has an incident, and decide; nothing has come since the latest tick."""
    fleet, engine = Fleet(_HOSTS), Engine(load(None, {}).rules())
    fill(fleet, _HOSTS, _ANSWERS, END_US)
    engine.tick(fleet, END_US)
    return lambda: engine.tick(fleet, END_US + MINUTE_US)


WORKLOADS = {
    "index catch-up, a row": (_index, _ROWS),
    "journal parsing, a line": (_journal, _LINES),
    "evaluation, a host": (_evaluation, _HOSTS),
}


if __name__ == "__main__":
    main()
