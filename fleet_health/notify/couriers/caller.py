"""Calls a destination in a thread of its own, so that one that hangs delays no other destination."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import structlog

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import DeliveryError
from fleet_health.notify.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.destination import AnyDestination, Build

P = ParamSpec("P")
T = TypeVar("T")

_GRACE_S = 15.0
_log = structlog.get_logger("fleet_health.notify")


class Caller:
    """Makes a destination when it is first needed, and calls it."""

    def __init__(self, settings: DestinationSettings, build: Build, on_hang: Callable[[str], object]) -> None:
        """Take what it needs.

        Args:
            settings: How the destination is configured.
            build: Makes the destination.
            on_hang: Called with the reason when a call takes longer than it may.

        """
        self._settings, self._build, self._on_hang = settings, build, on_hang
        self._worker = Worker(f"to {settings.name}")
        self._destination: AnyDestination | None = None

    async def destination(self) -> AnyDestination:
        """Return the destination.

        Raises:
            DeliveryError: It cannot be made, for example because a secret is missing.

        """
        if self._destination is None:
            self._destination = await self.call(self._build, self._settings)
        return self._destination

    async def call(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call a function in the thread, however long it takes; log it if that is longer than it may.

        Raises:
            DeliveryError: The call failed. An unexpected error is raised as one, so that it does not end the process.

        """
        call = self._worker.begin(function, *args, **named)
        limit_s = self._settings.timeout_us / SECOND_US + _GRACE_S
        await asyncio.wait({call}, timeout=limit_s)
        if not call.done():
            _log.error("destination hangs", destination=self._settings.name, seconds=limit_s)
            self._on_hang(f"no response for {limit_s:g} s")
        try:
            return await call
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            raise unexpected(error) from None

    def close(self) -> None:
        """Close the destination and end the thread, after the present call."""
        if self._destination is not None:
            self._worker.begin(self._destination.close)
        self._worker.end()


def unexpected(error: Exception) -> DeliveryError:
    """Return an unexpected error of a destination as a failed delivery, without its text, which may hold a secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__} in {frame.name}, line {frame.lineno} of {frame.filename}"
    return DeliveryError(f"unexpected error: {reason}", is_response_lost=True)
