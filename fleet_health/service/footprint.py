"""Measure the resources that this process uses."""

from __future__ import annotations

import ctypes
import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SELF = Path("/proc/self")

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it


@dataclass(frozen=True, slots=True)
class Footprint:
    """The resources of the process at one instant; None for those that cannot be read.

    Attributes:
        cpu_s: Processor time since its start, in seconds.
        resident: Resident memory in bytes.
        descriptors: Number of open file descriptors.
        most_descriptors: The limit of open file descriptors; None if there is none.

    """

    cpu_s: float
    resident: int | None
    descriptors: int | None
    most_descriptors: int | None


def footprint() -> Footprint:
    """Measure this process."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resident = descriptors = None
    with suppress(OSError):  # counting needs a free descriptor
        resident = int((_SELF / "statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        descriptors = sum(1 for _ in (_SELF / "fd").iterdir())
    return Footprint(time.process_time(), resident, descriptors, None if limit == resource.RLIM_INFINITY else limit)


def give_back_memory() -> None:
    """Return free memory that the C library keeps to the kernel. This may take some milliseconds."""
    if _trim is not None:
        _trim(0)
