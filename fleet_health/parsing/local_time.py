"""Format times for people: in the local zone with its offset, to the second.

Documents, rows and fields contain times in ISO 8601 in UTC, for programs. Sentences are made with such times too, and
`localized` rewrites them for people. The local zone is that of the process: TZ, or /etc/localtime.
"""

from __future__ import annotations

import re
from datetime import datetime

from fleet_health.model.instant import SECOND_US, Instant, from_datetime, isoformat

_utc_times = re.compile(
    r"(?<![\w:./-])\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|\+00:00)(?![\w/]|[.:]\w)", re.ASCII
)


def local(at: Instant) -> str:
    """Return an instant as `2026-11-23 19:55:00+01:00`, rounded down to the second."""
    there = datetime.fromisoformat(isoformat(at // SECOND_US * SECOND_US))
    try:
        return there.astimezone().isoformat(" ")
    except (OverflowError, ValueError, OSError):  # the C library does not support the year
        return there.isoformat(" ")


def zone_at(at: Instant) -> str:
    """Return the local zone at an instant, to append to a time: `UTC`, or an offset such as `+01:00`."""
    offset = local(at)[19:]
    return "UTC" if offset == "+00:00" else offset


def local_wall(wall: str) -> str:
    """Return a time in ISO 8601, as in documents, in the form of `local`."""
    return local(from_datetime(datetime.fromisoformat(wall)))


def localized(text: str) -> str:
    """Return a text with every time in ISO 8601 in UTC replaced by the form of `local`."""
    return _utc_times.sub(_localized, text)


def _localized(match: re.Match[str]) -> str:
    try:
        return local(from_datetime(datetime.fromisoformat(match[0])))
    except ValueError:  # it only looks like a time
        return match[0]
