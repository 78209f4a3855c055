"""Says how many branches of each pure floor the tests took, and fails where they took too few.

python tests/floors.py MEASURED.json
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

LEAST = 95
"""Percent of all branches of the floors."""


def main(measured: Path) -> int:
    """Print the floors of a report of slipcover; return the exit status."""
    taken, there = Counter[str](), Counter[str]()
    for file, one in json.loads(measured.read_text())["files"].items():
        floor = Path(file).parts[-2]
        summary = one["summary"]
        taken[floor] += summary["covered_branches"]
        there[floor] += summary["covered_branches"] + summary["missing_branches"]
    for floor in sorted(there):
        sys.stdout.write(f"{floor}: {taken[floor]} of {there[floor]} branches\n")
    percent = 100 * taken.total() / there.total()
    sys.stdout.write(f"all: {percent:.1f}% of the branches; {LEAST}% is the least\n")
    return int(percent < LEAST)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
