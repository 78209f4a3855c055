"""Parse times as people write them on the command line."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from fleet_health.model.instant import SECOND_US, Instant, isoformat
from fleet_health.parsing.timestamp import TimeError, instant_of, parse_epoch, parse_time, plausible

FORMS = (
    "`now`, `today` or `yesterday`, a date (2026-11-20), a time of day (18:55), both of them (`2026-11-20 18:55:30`,"
    " `yesterday 18:55`), with or without a zone behind (2026-11-20T18:55Z, `2026-11-20 18:55 +01:00`,"
    " `18:55 Europe/Berlin`), how long ago (90m, 3d, 1h30m), or seconds since the epoch (@1795000000)"
)
"""The forms of a time in the past."""
FORMS_AHEAD = (
    FORMS.replace("`today` or `yesterday`", "`today` or `tomorrow`")
    .replace("yesterday", "tomorrow")
    .replace("how long ago", "how long from now")
)
"""The forms of a time in the future."""

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_is_span = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+", re.ASCII).fullmatch
_span_parts = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII).findall
_is_number = re.compile(r"@?[+-]?[\d.]+(?:[eE]\d+)?", re.ASCII).fullmatch
_is_compact_date = re.compile(r"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])", re.ASCII).fullmatch
_is_wall_time = re.compile(
    r"(?P<day>today|yesterday|tomorrow|\d{4}-\d\d-\d\d)?"
    r"(?:(?:(?<=.)[T ]|(?<!.))(?P<clock>\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?))?"
    r"(?: ?(?P<offset>Z|UTC|[+-]\d\d(?::?\d\d)?)| (?P<zone>[A-Za-z][A-Za-z0-9_+/-]*))?",
    re.ASCII | re.IGNORECASE,
).fullmatch
_LONGEST_S = 1_000 * 366 * _UNITS["d"]
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def parse_when(text: str, now: Instant, *, is_ahead: bool = False) -> Instant:
    """Return the instant for a text in one of the `FORMS`.

    Args:
        text: The text. Without a zone it is in local time, and a date without a time means midnight.
        now: The present.
        is_ahead: Whether a duration counts forward from now rather than back.

    Raises:
        TimeError: The text has none of these forms.

    """
    written = " ".join(text.split())
    if written.lower() == "now":
        return now
    if _is_compact_date(written):
        day = f"{written[:4]}-{written[4:6]}-{written[6:]}"
        raise TimeError(f"a date is written {day}, and seconds since the epoch @{written}")
    if _is_number(written):
        return parse_epoch(written.removeprefix("@"))
    span = written.removesuffix(" ago") if not is_ahead else written.removeprefix("in ")
    if _is_span(span):
        return _plus(now, span, 1 if is_ahead else -1)
    found = _is_wall_time(written)
    if written and found and (found["day"] or found["clock"]):
        return _wall_time(found, now)
    return parse_time(written)


def _plus(now: Instant, span: str, sign: int) -> Instant:
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _span_parts(span))
    if seconds > _LONGEST_S:
        raise TimeError("implausible time")
    return plausible(now + sign * round(seconds * SECOND_US))


def _wall_time(found: re.Match[str], now: Instant) -> Instant:
    zone = _zone(found["offset"], found["zone"])
    try:
        clock = time.fromisoformat(found["clock"].replace(",", ".")) if found["clock"] else time()
        moment = datetime.combine(_day((found["day"] or "today").lower(), now, zone), clock)
    except (ValueError, OverflowError):
        raise TimeError("there is no such day or time") from None
    try:
        return instant_of(_in_local_zone(moment) if zone is None else moment.replace(tzinfo=zone))
    except (OverflowError, ValueError, OSError):
        raise TimeError("implausible time") from None


def _in_local_zone(moment: datetime) -> datetime:
    """Return a time of the local zone; in the hour that is skipped in spring, with the offset before it."""
    # `astimezone` takes the offset after it before Python 3.13.
    whole = datetime.fromtimestamp(int(moment.replace(microsecond=0).timestamp()), UTC)
    return whole.replace(microsecond=moment.microsecond)


def _day(word: str, now: Instant, zone: tzinfo | None) -> date:
    if word not in _DAYS:
        return date.fromisoformat(word)
    return datetime.fromisoformat(isoformat(now)).astimezone(zone).date() + timedelta(days=_DAYS[word])


def _zone(offset: str | None, name: str | None) -> tzinfo | None:
    """Return the zone in the text; None for local time."""
    if offset:
        if offset.upper() in {"Z", "UTC"}:
            return UTC
        try:
            return datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo
        except ValueError:
            raise TimeError(f"there is no offset {offset}") from None
    if not name:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - slow to import, and seldom needed

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimeError(f"there is no time zone {name}") from None
