"""Times as people read them: in the local zone with its offset, to the second.

Programs get ISO 8601 in UTC, in documents, rows and fields. Sentences are made with such times as well, and `localized`
rewrites them where a person reads the sentence. The local zone is that of the process: TZ, or /etc/localtime.
"""

from __future__ import annotations

import re
from datetime import datetime

from fleet_health.model.instant import SECOND_US, Instant, from_datetime, isoformat

_utc_times = re.compile(
    r"(?<![\w:./-])\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|\+00:00)(?![\w/]|[.:]\w)", re.ASCII
)


def local(at: Instant) -> str:
    """Write an instant for a person: `2026-11-23 19:55:00+01:00`, rounded down to the second."""
    there = datetime.fromisoformat(isoformat(at // SECOND_US * SECOND_US))
    try:
        return there.astimezone().isoformat(" ")
    except (OverflowError, ValueError, OSError):  # the C library knows no such year
        return there.isoformat(" ")


def zone_at(at: Instant) -> str:
    """Name the local zone at an instant, to stand behind a time: `UTC`, or its offset, such as `+01:00`."""
    offset = local(at)[19:]
    return "UTC" if offset == "+00:00" else offset


def local_wall(wall: str) -> str:
    """Write a time of a document, in ISO 8601, for a person."""
    return local(from_datetime(datetime.fromisoformat(wall)))


def localized(text: str) -> str:
    """Rewrite every time in ISO 8601 and UTC that stands in a text as `local` writes it."""
    return _utc_times.sub(_localized, text)


def _localized(match: re.Match[str]) -> str:
    try:
        return local(from_datetime(datetime.fromisoformat(match[0])))
    except ValueError:  # it only looks like one
        return match[0]
