"""The descriptors of this process, counted so that a test sees those that it has opened itself."""

from __future__ import annotations

import gc
import os
from collections import Counter
from pathlib import Path


def open_descriptors() -> Counter[str]:
    """Count the open descriptors by the kind of what they refer to, such as `.journal` or `socket`.

    `open_descriptors() - before` is what was opened between two counts. It has no negative numbers, because what an
    earlier test has left may be closed at any time. What nobody uses any more is closed first.
    """
    gc.collect()
    kinds: Counter[str] = Counter()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)  # noqa: PTH115 - what the kernel says is no path
        except FileNotFoundError:
            continue  # the one that lists them
        kinds[_kind(target)] += 1
    return kinds


def _kind(target: str) -> str:
    """Return the suffix of a file, or what else a descriptor refers to: files are renamed, sockets are numbered."""
    if target.startswith("/"):
        path = Path(target.removesuffix(" (deleted)"))
        return path.suffix or str(path)
    return target.partition(":[")[0]
