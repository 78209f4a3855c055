"""Readers for the kinds of values in a configuration.

A reader converts the value in TOML to the value in the program. It raises ValueError with the expected kind.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.model.host_name import safe_glob
from fleet_health.model.instant import SECOND_US
from fleet_health.model.subject import is_receiver_name
from fleet_health.model.upload_schedule import UploadSchedule

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

_UNITS_US = {
    "ms": SECOND_US // 1000,
    "s": SECOND_US,
    "m": 60 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "d": 86_400 * SECOND_US,
}
is_duration = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+", re.ASCII).fullmatch
_duration_parts = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII).findall
LONGEST = "3650d"
"""The longest duration by default."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAYS = {"daily": _WEEKDAYS, "weekdays": _WEEKDAYS[:5]}
_upload_schedule = re.compile(
    r"(?:(?P<days>daily|weekdays|(?:mon|tue|wed|thu|fri|sat|sun)(?:,(?:mon|tue|wed|thu|fri|sat|sun))*)"
    r" +(?P<at>(?:[01]\d|2[0-3]):[0-5]\d)(?: +(?P<zone>[A-Za-z][A-Za-z0-9_+/-]*))?|hourly +:(?P<minute>[0-5]\d))"
    r" *(?:\+-|±) *(?P<tolerance>\S+)",
    re.ASCII,
).fullmatch
_is_wall_time = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d", re.ASCII).fullmatch

_is_field = re.compile(r'[^"\\\x00-\x1f]+').fullmatch
_is_unit_glob = re.compile(r"[A-Za-z0-9:_.\\@*?\[\]!-]{1,255}", re.ASCII).fullmatch
_UNIT_TYPES = frozenset(
    ("service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope")
)
_is_match = re.compile(r"[A-Z_][A-Z0-9_]{0,63}=[^\x00]*").fullmatch
_is_namespace = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII).fullmatch


def duration(*, at_least: str = "1ms", at_most: str = LONGEST) -> Callable[[Any], int]:
    """Return a reader for durations such as `"90s"`, `"1h30m"` or `"0.5h"`, which returns microseconds."""
    least_us, most_us = parse_duration(at_least), parse_duration(at_most)

    def read(raw: Any) -> int:
        if not isinstance(raw, str) or not is_duration(raw):
            raise ValueError('a duration with a unit, such as "90s", "5m", "1h30m" or "24h"')
        value = parse_duration(raw)
        if not least_us <= value <= most_us:
            raise ValueError(f'a duration from "{at_least}" to "{at_most}"')
        return value

    return read


def switch(raw: Any) -> bool:
    """Return true or false."""
    if not isinstance(raw, bool):
        raise ValueError("true or false")  # noqa: TRY004 - readers raise this one
    return raw


def maybe_globs(raw: Any) -> tuple[str, ...]:
    """Return a list of host globs, which may be empty."""
    return () if raw == [] else tuple(globs(raw))


def weekdays(raw: Any) -> frozenset[int]:
    """Return the numbers of a list of weekdays; Monday is 0."""
    if isinstance(raw, list) and raw and all(day in _WEEKDAYS for day in raw):
        return frozenset(_WEEKDAYS.index(day) for day in raw)
    raise ValueError('a list of days: "mon", "tue", "wed", "thu", "fri", "sat", "sun"')


def cadence(raw: Any) -> bool:
    """Return whether the limit of a host is learned, for `fixed` or `learned`."""
    if raw not in ("fixed", "learned"):
        raise ValueError('"fixed" or "learned"')
    return bool(raw == "learned")


def upload_schedule(raw: Any) -> UploadSchedule:
    """Return the schedule in a text such as `"daily 02:00 Europe/Berlin +- 1h"`."""
    match = _upload_schedule(raw) if isinstance(raw, str) else None
    if match is None:
        raise ValueError(
            'a schedule such as "daily 02:00 +- 1h", "weekdays 09:30 Europe/Berlin +- 45m", "mon,thu 04:00 +- 2h" or'
            ' "hourly :15 +- 5m"'
        )
    tolerance_us = duration(at_most="12h")(match["tolerance"])
    if match["minute"]:
        return UploadSchedule(raw, frozenset(range(7)), None, int(match["minute"]), tolerance_us, zone("UTC"))
    names = _DAYS.get(match["days"]) or match["days"].split(",")
    days = frozenset(_WEEKDAYS.index(name) for name in names)
    return UploadSchedule(raw, days, wall_time(match["at"]), 0, tolerance_us, zone(match["zone"] or "UTC"))


def wall_time(raw: Any) -> time:
    """Return a time of day such as `"22:00"`."""
    if isinstance(raw, str) and _is_wall_time(raw):
        return time.fromisoformat(raw)
    raise ValueError('a time of day from "00:00" to "23:59"')


def zone(raw: Any) -> ZoneInfo:
    """Return the time zone with a name."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones  # noqa: PLC0415 - slow to import

    try:
        return ZoneInfo(raw)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError, AttributeError):
        from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and seldom needed

        close = get_close_matches(str(raw), available_timezones(), n=1)
        meant = f' (perhaps "{close[0]}")' if close else ""
        raise ValueError(f'a time zone of the IANA database, such as "Europe/Berlin" or "UTC"{meant}') from None


def repeat(raw: Any) -> tuple[int, ...] | None:
    """Return the ages at which an alert is repeated, in microseconds; None for once in each UTC hour."""
    if raw == "hour":
        return None
    if isinstance(raw, list) and raw:
        with suppress(ValueError):
            intervals = tuple(duration(at_least="1h")(one) for one in raw)
            if all(earlier < later for earlier, later in pairwise(intervals)):
                return intervals
    raise ValueError('"hour", or a list of durations from "1h" on, each longer than the one before')


def parse_duration(text: str) -> int:
    """Convert a well-formed duration to microseconds, rounded to the nearest."""
    # Decimal, because 0.1 h must be exactly 6 min.
    return round(sum(Decimal(number) * _UNITS_US[unit] for number, unit in _duration_parts(text)))


def choices(*known: str) -> Callable[[Any], tuple[str, ...]]:
    """Return a reader for a list of some of the known words, without repetitions."""

    def read(raw: Any) -> tuple[str, ...]:
        if not isinstance(raw, list) or not raw or not all(one in known for one in raw):
            raise ValueError("a list of some of " + ", ".join(f'"{one}"' for one in known))
        return tuple(dict.fromkeys(raw))

    return read


def short_name(what: str, example: str) -> Callable[[Any], str]:
    """Return a reader for a short name, such as that of a receiver."""

    def read(raw: Any) -> str:
        if not isinstance(raw, str) or not is_receiver_name(raw):
            raise ValueError(f'a short name for the {what}, such as "{example}": letters, digits and . _ -')
        return raw

    return read


def count(raw: Any) -> int:
    """Return a whole number of at least 1."""
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 1:
        raise ValueError("a whole number of 1 or more")
    return raw


def ratio(raw: Any) -> float:
    """Return a share, greater than 0 and at most 1."""
    if not isinstance(raw, (int, float)) or isinstance(raw, bool) or not 0 < raw <= 1:
        raise ValueError("a number greater than 0 and at most 1")
    return float(raw)


def path(raw: Any) -> Path:
    """Return a path. Relative paths stay relative, because the loader of the file resolves them."""
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError("a path, in quotes")
    return Path(raw)


def path_globs(raw: Any) -> tuple[str, ...]:
    """Return paths with wildcards, from one text or a list, which may be empty."""
    globs = [raw] if isinstance(raw, str) else raw
    if not isinstance(globs, list) or not all(isinstance(one, str) and one and "\0" not in one for one in globs):
        raise ValueError('a list of paths with wildcards, such as ["old/index.jsonl*"]')
    return tuple(globs)


def choice(*names: str) -> Callable[[Any], str]:
    """Return a reader for one of some words."""

    def read(raw: Any) -> str:
        if not isinstance(raw, str) or raw not in names:
            raise ValueError("one of " + ", ".join(f'"{name}"' for name in names))
        return raw

    return read


def textfile(raw: Any) -> Path:
    """Return the path of a file for node_exporter."""
    if not isinstance(raw, str) or "\0" in raw or not raw.endswith(".prom") or len(Path(raw).name) <= len(".prom"):
        raise ValueError("the path of a file whose name ends in .prom, which is what node_exporter reads")
    return Path(raw)


def text(raw: Any) -> str:
    """Return a string that is not empty."""
    if not isinstance(raw, str) or not raw:
        raise ValueError("a string that is not empty")
    return raw


def field(raw: Any) -> str:
    """Return the name of a field in a row of JSON."""
    if not isinstance(raw, str) or not _is_field(raw):
        raise ValueError("the name of a field, without quotes, backslashes and control characters")
    return raw


def units(raw: Any) -> tuple[str, ...]:
    """Return names or globs of systemd units, from one text or a list.

    As in systemctl, a name without a suffix is a service. A template stands for its instances, because no unit runs or
    logs under the name of a template.
    """
    named = raw if isinstance(raw, list) else [raw]
    if not named or not all(isinstance(one, str) and _is_unit_glob(one) for one in named):
        raise ValueError('the name or a glob of a systemd unit, such as "receiver.service", or a list of them')
    return tuple(dict.fromkeys(map(_with_suffix, named)))


def _with_suffix(name: str) -> str:
    _, dot, suffix = name.rpartition(".")
    is_whole = suffix in _UNIT_TYPES or (dot and suffix == "*")
    return (name if is_whole else f"{name}.service").replace("@.", "@*.")


def matches(raw: Any) -> tuple[tuple[str, ...], ...]:
    """Return the alternatives of matches as in journalctl, which "+" separates."""
    fields = raw if isinstance(raw, list) else [raw]
    alternatives: list[list[str]] = [[]]
    for one in fields:
        if one == "+":
            alternatives.append([])
        elif isinstance(one, str) and _is_match(one):
            alternatives[-1].append(one)
        else:
            alternatives = [[]]
            break
    if not all(alternatives):
        raise ValueError('FIELD=value, or a list such as ["CONTAINER_NAME=receiver", "_SYSTEMD_UNIT=docker.service"]')
    return tuple(map(tuple, alternatives))


receiver_name = short_name("receiver", "lab-2")
"""The reader for the name of a receiver."""


def namespace(raw: Any) -> str:
    """Return the name of a journal namespace."""
    if not isinstance(raw, str) or not _is_namespace(raw):
        raise ValueError("the name of a journal namespace, as in LogNamespace=")
    return raw


def globs(raw: Any) -> tuple[str, ...]:
    """Return a list of host globs, in the form that matches known host names."""
    if not isinstance(raw, list) or not raw or not all(isinstance(glob, str) and glob for glob in raw):
        raise ValueError('a list of host globs, such as ["bench-*"]')
    return tuple(map(safe_glob, raw))
