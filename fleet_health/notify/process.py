"""Runs the process of `notify`, and ends it even if a thread hangs."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from fleet_health.notify.service import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.config.schema import Settings
    from fleet_health.notify.destination import Build

_EXIT_TIME_S = 0.3


def serve(load: Callable[[], Settings], build: Build) -> None:
    """Notify until SIGTERM.

    Raises:
        ConfigError: The configuration cannot be used.
        StoreTaken: Another process has the ledger.
        StoreUnavailable: The ledger is of a newer version.

    """
    asyncio.run(Notifier(load, build).run())
    # A thread that waits for a destination or a dead disk must not keep us from ending.
    exit_anyway = threading.Timer(_EXIT_TIME_S, os._exit, (0,))
    exit_anyway.daemon = True
    exit_anyway.start()
