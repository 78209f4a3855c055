"""Run one function in a process of its own, so that no figure depends on what was measured before it.

    python tests/bench/apart.py journal_catch_up follow '["/tmp/data/journal-200000-500"]'

The same by hand, to look at it with a profiler:

    py-spy record -- python tests/bench/apart.py …
    valgrind --tool=callgrind python tests/bench/apart.py …
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


def apart(module: str, function: str, *arguments: object) -> Any:
    """Call a function of a module beside this one in a new process; arguments and result go as JSON."""
    run = subprocess.run(
        [sys.executable, __file__, module, function, json.dumps(arguments, default=str)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Call what the command line names, and print what it gives."""
    sys.path.insert(0, str(_ROOT))
    module, function, arguments = sys.argv[1:]
    result = getattr(importlib.import_module(f"tests.bench.{module}"), function)(*json.loads(arguments))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
