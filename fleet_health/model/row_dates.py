"""Rows dated ahead of the clock: what a live service makes of them, and what a evaluation of the past does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.instant import Instant

FUTURE_LIMIT_US = 300 * SECOND_US
"""Clocks of a receiver and its neighbour differ by less than this; a row dated further ahead is in error."""

LATE_LIMIT_US = 600 * SECOND_US
"""A receiver writes a row at once; one dated longer ago than this comes from a wrong clock, or a wrong time zone."""


def late_us(at: Instant | None, written_at: Instant | None) -> int:
    """Return how long before it was written a row is dated, if that is too long to be in order; else 0."""
    if at is None or written_at is None or written_at - at <= LATE_LIMIT_US:
        return 0
    return written_at - at


def admit_live(uploads: Sequence[Upload], now: Instant) -> tuple[list[Upload], int]:
    """Take rows in as they arrive; one dated too far ahead counts as uploaded now, or its host could never fall silent.

    Returns:
        The uploads, and how many of them were dated too far ahead.

    """
    latest = now + FUTURE_LIMIT_US
    admitted = [upload if upload.at <= latest else Upload(upload.host, now) for upload in uploads]
    return admitted, sum(upload.at > latest for upload in uploads)


def admit_until(uploads: Sequence[Upload], now: Instant) -> tuple[list[Upload], int]:
    """Take in recorded rows as of `now`: a later one has not happened yet.

    Returns:
        The uploads, and 0: nothing is wrong with the others.

    """
    return [upload for upload in uploads if upload.at <= now], 0
