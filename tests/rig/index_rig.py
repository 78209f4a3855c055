"""A follower of an index that looks when it is told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleet_health.service import clock
from fleet_health.sources.index.source import IndexFollower
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.config.schema import IndexSettings
    from fleet_health.model.observation import Upload


class IndexRig:
    """A follower of an index, and what it has delivered."""

    def __init__(self, settings: IndexSettings, lookback_us: int) -> None:
        self.hosts: list[str] = []
        self.settings = settings
        self.follower = IndexFollower(settings, lookback_us=lookback_us, deliver=self._take, clock=clock.now)
        self.state = self.follower.state

    def _take(self, uploads: Iterable[Upload]) -> None:
        self.hosts += [upload.host for upload in uploads]

    async def look(self) -> list[str]:
        """Look at the index once; return the hosts of the rows that are new."""
        before = len(self.hosts)
        async with asyncio.timeout(PATIENCE_S):
            await self.follower.poll()
        return self.hosts[before:]

    @property
    def rejected(self) -> dict[str, int]:
        """What could not be read, by reason."""
        return dict(self.state.rejections.by_reason)
