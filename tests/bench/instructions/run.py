"""Count the instructions of the inner loops by callgrind: a regression shows, however busy the machine is.

    python tests/bench/instructions/run.py            print them beside the recorded ones
    python tests/bench/instructions/run.py --record   and record them for this interpreter

An interpreter that was built otherwise takes other numbers for the same, so each has its own record.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
RECORD = _HERE / "recorded.json"
BOUND = 1.1
"""So many times the recorded number is no regression yet; two runs differ by less than a hundredth."""

INTERPRETER = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"

_name = re.compile(r"^desc: Trigger: Client Request: (.*)$", re.MULTILINE)
_sum = re.compile(r"^summary: (\d+)", re.MULTILINE)


def count() -> dict[str, int]:
    """Return how many instructions each workload takes for a piece of it: a row, a line, a host."""
    with tempfile.TemporaryDirectory() as directory:
        library, out = Path(directory, "counting.so"), Path(directory, "callgrind.out")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, _HERE / "counting.c"], check=True)
        callgrind = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}.%p"]
        run = subprocess.run(
            ["setarch", "--addr-no-randomize", *callgrind, sys.executable, _HERE / "workloads.py", library],
            # Where things lie in memory, and in which order sets give them, is the same each time.
            env={"PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )
        pieces: dict[str, int] = json.loads(run.stdout.splitlines()[-1])  # the service logs before it
        dumps = [path.read_text() for path in Path(directory).glob("callgrind.out.*")]
    counted = {
        name[1]: int(total[1]) for dump in dumps if (name := _name.search(dump)) and (total := _sum.search(dump))
    }
    return {name: round(counted[name] / number) for name, number in pieces.items()}


def recorded() -> dict[str, int]:
    """Return what is recorded for this interpreter; empty if nothing is."""
    records: dict[str, dict[str, int]] = json.loads(RECORD.read_text())
    return records.get(INTERPRETER, {})


def regressions(counts: dict[str, int], before: dict[str, int]) -> list[str]:
    """Return what takes more than `BOUND` times what is recorded, in words; what is not recorded is no regression."""
    return [
        f"{name}: {counts[name]:,} instructions, {counts[name] / before[name]:.2f} x the recorded {before[name]:,}"
        for name in counts
        if name in before and counts[name] > BOUND * before[name]
    ]


def table(counts: dict[str, int], before: dict[str, int]) -> str:
    """Return a line for each workload."""
    lines = [INTERPRETER]
    for name, number in counts.items():
        beside = f"{number / before[name]:.3f} x the recorded {before[name]:,}" if name in before else "not recorded"
        lines.append(f"{name:<24} {number:>9,} instructions, {beside}")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Count the instructions of the inner loops.")
    parser.add_argument("--record", action="store_true", help=f"write them to {RECORD.name}")
    options = parser.parse_args()
    counts, before = count(), recorded()
    sys.stdout.write(table(counts, before))
    if options.record:
        records = json.loads(RECORD.read_text()) | {INTERPRETER: counts}
        RECORD.write_text(json.dumps(dict(sorted(records.items())), indent=2) + "\n")
        return 0
    return 1 if regressions(counts, before) else 0


if __name__ == "__main__":
    sys.exit(main())
