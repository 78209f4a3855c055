"""How much of the system the process takes up, and whether that is still what it was."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.files.hanging_calls import DAEMON_THREADS

if TYPE_CHECKING:
    from collections.abc import Iterator

TOLERANCE = 0.02

MALLOC_TUNABLES = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"
"""The environment's GLIBC_TUNABLES under which memory that is free can be given back, so that what is resident is used.

Else each thread holds on to some hundred kilobytes of its own, which come and go by chance.
"""

_PROCESS = Path("/proc/self")


async def warm_up() -> None:
    """Have the process take now what it would come to take in some later hour, once, whatever the service does."""
    # Every worker thread that there can be: another is started whenever all are at work.
    workers = ThreadPoolExecutor()._max_workers
    loop, all_at_work = asyncio.get_running_loop(), threading.Barrier(workers)
    await asyncio.gather(*(loop.run_in_executor(None, all_at_work.wait) for _ in range(workers)))
    # The table of interned strings, in which every new name of a file takes a place. When there is none left, it is
    # made anew, with room for three times the strings that are still in use; and then again, at the same size.
    for number in range(100_000):
        sys.intern(f"name-{number}")
    # The free room in what Python has for small objects, all of which is used sooner or later.
    for size in range(16, 513, 16):
        _ = [bytes(size) for _ in range(1_000)]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the process takes up at one instant.

    Attributes:
        descriptors: Open files, sockets, pipes and the like.
        memory_kib: Resident memory of its own, in KiB, when what is free has been given back.
        tasks: Unfinished tasks of the event loop.
        threads: Threads, but for idle ones of those that wait for disks.
        watches: inotify watches.
        blocks: Blocks of memory that Python's objects take up. More exact than `memory_kib`, which comes in pages.

    """

    descriptors: int
    memory_kib: int
    tasks: int
    threads: int
    watches: int
    blocks: int

    @classmethod
    def take(cls) -> Footprint:
        """Measure; to be called in the event loop."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        blocks = sys.getallocatedblocks()
        return cls(
            descriptors=sum(1 for _ in (_PROCESS / "fd").iterdir()) - 1,  # but for the one that lists them
            memory_kib=_resident_kib(),
            tasks=len(asyncio.all_tasks()),
            # Those that have nothing to do end by themselves, after half a minute of real time.
            threads=threading.active_count() - len(DAEMON_THREADS._idle),
            watches=_inotify_watches(),
            blocks=blocks,
        )

    def differences(self, first: Footprint) -> Iterator[str]:
        """Return what is not what it was, by more than the tolerance."""
        for name, now, before in zip(names(), astuple(self), astuple(first), strict=True):
            if abs(now - before) > before * TOLERANCE:
                yield f"{name}: {now}, not {before} as after the first hour"


def names() -> tuple[str, ...]:
    """Name the figures of a footprint, in their order."""
    return tuple(field.name for field in fields(Footprint))


def _resident_kib() -> int:
    # Without the pages of files, such as those of the journal: they are not ours, and nobody misses them.
    found = re.search(r"^RssAnon:\s+(\d+) kB$", (_PROCESS / "status").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _inotify_watches() -> int:
    count = 0
    for descriptor in (_PROCESS / "fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            count += descriptor.read_text("ascii").count("inotify wd:")
    return count
