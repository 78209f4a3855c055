"""Parse times: ISO 8601 with an offset, or seconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from fleet_health.model.instant import SECOND_US, Instant, from_datetime

# `datetime.fromisoformat` checks the date, but accepts any character between the date and the time.
_is_iso_8601 = re.compile(r"[\dW-]{8,10}(?:[T ][\d:.,]+(?:Z|[+-][\d:.]+)?)?", re.ASCII).fullmatch

# Times outside of these are implausible. Without limits, a nonsense year would count as a recent upload.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = from_datetime(EARLIEST), from_datetime(LATEST)


class TimeError(ValueError):
    """A text is not a time. `str()` is the reason, in the same words for every such text."""


def parse_time(text: str) -> Instant:
    """Return the instant of a time in ISO 8601.

    Raises:
        TimeError: The text is not ISO 8601, has no offset, or has an implausible year.

    """
    if not _is_iso_8601(text):
        raise TimeError("time not in ISO 8601")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TimeError("time not in ISO 8601") from None
    return instant_of(moment)


def instant_of(moment: datetime) -> Instant:
    """Return the instant of a datetime.

    Raises:
        TimeError: It has no offset, or an implausible year.

    """
    if moment.tzinfo is None:
        raise TimeError("time without offset")
    return plausible(from_datetime(moment))


def parse_epoch(text: str) -> Instant:
    """Return the instant for seconds since the epoch, with optional fractions, rounded to the microsecond.

    Raises:
        TimeError: The text is not a number, or an implausible time.

    """
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        raise TimeError("time not a number of seconds") from None
    if not seconds.is_finite() or abs(seconds) > _LATEST:
        raise TimeError("implausible time")
    return plausible(round(seconds * SECOND_US))


def plausible(at: Instant) -> Instant:
    """Return an instant if it is plausible.

    Raises:
        TimeError: Its year is implausible.

    """
    if not _EARLIEST <= at < _LATEST:
        raise TimeError("implausible time")
    return at
