"""Limit the share of time for documents, because evaluations need the processor as well."""

from __future__ import annotations

import time
from asyncio import Lock, sleep
from typing import Self


class Share:
    """An asynchronous context for one task at a time, with a rest after each task."""

    def __init__(self, share: float = 1.0) -> None:
        """Take the largest share of time, up to 1, which means no rest."""
        self._rest = 1 / share - 1
        self._lock = Lock()
        self._rests_until = 0.0
        self._began_at = 0.0

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        try:
            await sleep(max(0.0, self._rests_until - time.monotonic()))
        except BaseException:
            self._lock.release()
            raise
        self._began_at = time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        now = time.monotonic()
        self._rests_until = now + (now - self._began_at) * self._rest
        self._lock.release()
