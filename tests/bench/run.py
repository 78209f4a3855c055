"""Take the figures of every benchmark beside their yardsticks, and write tests/bench/RESULTS.md.

    python tests/bench/run.py                         everything, in full: half an hour, and 7 GB of disk
    python tests/bench/run.py index-catch-up tick     these alone; --write puts them into RESULTS.md
    python tests/bench/run.py --small                 everything, just to see that it works: half a minute

Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import (
    alert_latency,
    cold_start,
    commands,
    index_catch_up,
    journal_catch_up,
    machine,
    metrics,
    replay,
    report,
    steady_state,
    tick,
)
from tests.bench.scale import FULL, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.measuring import Section
    from tests.bench.scale import Scale

BENCHMARKS: dict[str, Callable[[Scale, Path, Path], Section]] = {
    "journal-catch-up": journal_catch_up.run,
    "index-catch-up": index_catch_up.run,
    "cold-start": cold_start.run,
    "tick": tick.run,
    "metrics": metrics.run,
    "steady-state": steady_state.run,
    "alert-latency": alert_latency.run,
    "replay": replay.run,
    "commands": commands.run,
}
"""Every benchmark by its name. Each is given the scale, a directory of data, and one for whatever it likes."""

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "RESULTS.md"
_NOTES = _HERE / "NOTES.md"


def main() -> int:
    """Run the benchmarks that the command line names; return the exit status."""
    options = _options()
    scale = SMALL if options.small else FULL
    if options.rounds:
        scale = scale.with_rounds(options.rounds)
    is_whole = not (options.benchmarks or options.small or options.rounds)
    chapters: dict[str, str] = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-health-bench-")))
        data: Path = options.data or scratch / "data"
        data.mkdir(parents=True, exist_ok=True)
        for name in options.benchmarks or BENCHMARKS:
            described = machine.describe(data)
            section = BENCHMARKS[name](scale, data, scratch)
            chapters[section.title] = report.chapter(section, described)
            sys.stdout.write(report.summary(section))
            sys.stdout.flush()
            if is_whole or options.write:  # at once, for what comes next may be interrupted
                _write(chapters)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure fleet-health beside its neighbours. The whole in full is written to RESULTS.md; of less,"
        " only what is asked for."
    )
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"some of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"take each figure N times ({FULL.rounds})")
    parser.add_argument("--small", action="store_true", help="measure very little: to see that it works")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the data that can be used again there")
    parser.add_argument("--write", action="store_true", help="write the figures to RESULTS.md all the same")
    options = parser.parse_args()
    if unknown := [name for name in options.benchmarks if name not in BENCHMARKS]:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    return options


def _write(chapters: dict[str, str]) -> None:
    old = _RESULTS.read_text("utf-8") if _RESULTS.exists() else ""
    _RESULTS.write_text(report.page(old, chapters, TITLES, _NOTES.read_text("utf-8")), "utf-8")


TITLES = (
    "Journal catch-up",
    "Index catch-up",
    "Cold start",
    "Tick",
    "Metrics",
    "Steady state",
    "Alert latency",
    "Replay",
    "Commands",
)
"""The chapters' titles, in the order of the page."""


if __name__ == "__main__":
    sys.exit(main())
