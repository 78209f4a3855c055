"""What the process takes of its machine, as the kernel counts it."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SELF = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the process takes at one instant; None of what cannot be read.

    Attributes:
        cpu_s: Processor time since its start, in seconds.
        resident: Bytes of memory that are resident.
        descriptors: How many file descriptors are open.
        most_descriptors: How many may be; None if there is no limit.

    """

    cpu_s: float
    resident: int | None
    descriptors: int | None
    most_descriptors: int | None


def footprint() -> Footprint:
    """Measure this process."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resident = descriptors = None
    with suppress(OSError):  # there is no descriptor left to look with
        resident = int((_SELF / "statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        descriptors = sum(1 for _ in (_SELF / "fd").iterdir())
    return Footprint(time.process_time(), resident, descriptors, None if limit == resource.RLIM_INFINITY else limit)
