"""Times as people and programs write them: ISO 8601 with an offset, or seconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from fleet_health.model.instant import SECOND_US, Instant, from_datetime

# `datetime.fromisoformat` knows which days there are, but takes any character between the date and the time.
_is_iso_8601 = re.compile(r"[\dW-]{8,10}(?:[T ][\d:.,]+(?:Z|[+-][\d:.]+)?)?", re.ASCII).fullmatch

# No clock that can be believed is outside of these. It keeps a nonsense year from counting as "just uploaded".
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = from_datetime(EARLIEST), from_datetime(LATEST)


class TimeError(ValueError):
    """A text is not a time; `str()` is the reason, the same for every such text."""


def parse_time(text: str) -> Instant:
    """Read a time.

    Raises:
        TimeError: It is not ISO 8601, or has no offset, or its year cannot be.

    """
    if not _is_iso_8601(text):
        raise TimeError("time not in ISO 8601")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TimeError("time not in ISO 8601") from None
    return instant_of(moment)


def instant_of(moment: datetime) -> Instant:
    """Convert a datetime that was read.

    Raises:
        TimeError: It has no offset, or its year cannot be.

    """
    if moment.tzinfo is None:
        raise TimeError("time without offset")
    return plausible(from_datetime(moment))


def parse_epoch(text: str) -> Instant:
    """Read a time given as seconds since the epoch, fractions allowed, rounded to the microsecond.

    Raises:
        TimeError: It is not a number, or cannot be a time.

    """
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        raise TimeError("time not a number of seconds") from None
    if not seconds.is_finite() or abs(seconds) > _LATEST:
        raise TimeError("implausible time")
    return plausible(round(seconds * SECOND_US))


def plausible(at: Instant) -> Instant:
    """Return a time back if it can be one.

    Raises:
        TimeError: Its year cannot be.

    """
    if not _EARLIEST <= at < _LATEST:
        raise TimeError("implausible time")
    return at
