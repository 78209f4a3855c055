"""Times as people and programs write them: ISO 8601 with an offset, or seconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from fleet_health.domain.instant import SECOND_US, Instant, from_datetime

# `datetime.fromisoformat` knows which days there are, but takes any character between the date and the time.
_is_iso_8601 = re.compile(r"[\dW-]{8,10}(?:[T ][\d:.,]+(?:Z|[+-][\d:.]+)?)?", re.ASCII).fullmatch

# No clock that can be believed is outside of these. It keeps a nonsense year from counting as "just shipped".
_EARLIEST, _LATEST = (from_datetime(datetime(year, 1, 1, tzinfo=UTC)) for year in (1900, 2200))


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
    if moment.tzinfo is None:
        raise TimeError("time without offset")
    return _plausible(from_datetime(moment))


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
    return _plausible(round(seconds * SECOND_US))


def _plausible(at: Instant) -> Instant:
    if not _EARLIEST <= at < _LATEST:
        raise TimeError("implausible time")
    return at
