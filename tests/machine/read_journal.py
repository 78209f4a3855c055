"""Read this machine's journal by each of some configurations; to be run with them as arguments, as a process of it.

Prints a JSON array for each: whether the receiver runs, or null, and the hosts that it has answered.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fleet_health.config.loading import load
from fleet_health.model.observation import UnitState
from fleet_health.sources.journal.once import read_journal

for text in sys.argv[1:]:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        settings = load(Path(file.name)).receivers[0].journal
    observations: list[Any] = []
    read_journal(settings, 0, time.time_ns() // 1000, observations.extend)
    states = [one.is_running for one in observations if isinstance(one, UnitState)]
    hosts = sorted(one.host for one in observations if not isinstance(one, UnitState))
    print(json.dumps([states[-1] if states else None, hosts]))  # noqa: T201 - it is what this is for
