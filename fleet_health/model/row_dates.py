"""Rows dated ahead of the clock: what a live service makes of them, and what a judgement of the past does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Ship

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.instant import Instant

FUTURE_LIMIT_US = 300 * SECOND_US
"""Clocks of a receiver and its neighbour differ by less than this; a row dated further ahead is in error."""


def admit_live(ships: Sequence[Ship], now: Instant) -> tuple[list[Ship], int]:
    """Take rows in as they arrive; one dated too far ahead counts as shipped now, or its host could never fall silent.

    Returns:
        The ships, and how many of them were dated too far ahead.

    """
    latest = now + FUTURE_LIMIT_US
    admitted = [ship if ship.at <= latest else Ship(ship.host, now) for ship in ships]
    return admitted, sum(ship.at > latest for ship in ships)


def admit_until(ships: Sequence[Ship], now: Instant) -> tuple[list[Ship], int]:
    """Take in recorded rows as of `now`: a later one has not happened yet.

    Returns:
        The ships, and 0: nothing is wrong with the others.

    """
    return [ship for ship in ships if ship.at <= now], 0
