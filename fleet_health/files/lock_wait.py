"""Wait for a lock that another process holds, with a timeout."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fleet_health.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_S = 5.0
"""How long to wait for a lock, in seconds."""

_TRY_EVERY_S = 0.05


def wait_for_lock(take: Callable[[], bool], path: Path) -> None:
    """Retry taking a lock until it succeeds.

    Args:
        take: Tries to take the lock, and returns whether it succeeded.
        path: The file that is locked, for the message.

    Raises:
        SinkUnavailable: Another process has held the lock for `PATIENCE_S` seconds.

    """
    patience_ends = time.monotonic() + PATIENCE_S
    while not take():
        if time.monotonic() > patience_ends:
            raise SinkUnavailable(
                f"{path}: another process has held its lock for {PATIENCE_S:g} s; `lslocks` may show which process"
            )
        time.sleep(_TRY_EVERY_S)
