"""When the hosts of a simulated fleet would upload if nothing went wrong: each kind by its own rhythm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND

LAB = ZoneInfo("Europe/Berlin")
"""Where the people of the lab work: their hours move with daylight saving."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of simulated time, in microseconds since the epoch.

    Attributes:
        begin: Its begin.
        end: Its end.

    """

    begin: int
    end: int

    def holds(self, at: int) -> bool:
        """Return whether an instant is in it; its end is not."""
        return self.begin <= at < self.end


@dataclass(frozen=True, slots=True)
class SimulatedHost:
    """A host and its rhythm.

    Attributes:
        name: Its name.
        kind: The kind of its rhythm.
        attempts: When it would upload, in order.
        life: From when until when it exists; it is taken out of the fleet at the end of it, if that is not the end of
            all.

    """

    name: str
    kind: str
    attempts: tuple[int, ...]
    life: Span


def draw_host(random: Random, kind: str, name: str, span: Span) -> SimulatedHost:
    """Draw a host of a kind: how often it uploads, and when."""
    life = _LIVES[kind](random, span) if kind in _LIVES else span
    attempts = sorted(at for at in RHYTHMS[kind](random, span) if life.holds(at))
    return SimulatedHost(name, kind, tuple(attempts), life)


def _steady(random: Random, span: Span) -> Iterator[int]:
    yield from _every(random, random.uniform(2, 10) * MINUTE, span)


def _every(random: Random, pause: float, span: Span, spread: float = 0.2) -> Iterator[int]:
    """Upload again and again, each time a little earlier or later than the pause says."""
    at = span.begin + random.uniform(0, pause)
    while at < span.end:
        yield int(at)
        at += pause * random.uniform(1 - spread, 1 + spread)


def _bursts(random: Random, span: Span) -> Iterator[int]:
    for begin in _every(random, random.uniform(45, 120) * MINUTE, span, spread=0.4):
        at = float(begin)
        for _ in range(random.randint(3, 12)):
            yield int(at)
            at += random.uniform(5, 40) * SECOND


def _hourly(random: Random, span: Span) -> Iterator[int]:
    minute = random.uniform(2, 57) * MINUTE
    for hour in range(span.begin - span.begin % HOUR, span.end, HOUR):
        yield int(hour + minute + random.gauss(0, 1) * MINUTE)


def _nightly(random: Random, span: Span) -> Iterator[int]:
    hour, minute = random.randint(1, 4), random.randint(0, 59)
    for day in _days(span):
        at = _at(day, hour, minute) + random.gauss(0, 8) * MINUTE
        for _ in range(random.randint(1, 6)):
            yield int(at)
            at += random.uniform(10, 90) * SECOND


def _weekly(random: Random, span: Span) -> Iterator[int]:
    weekday, hour = random.randint(0, 6), random.randint(1, 5)
    for day in _days(span):
        if day.weekday() == weekday:
            yield int(_at(day, hour, 0) + random.gauss(0, 15) * MINUTE)


def _office_hours(random: Random, span: Span, *, holidays: int = 0) -> Iterator[int]:
    days = [day for day in _days(span) if day.weekday() < 5]
    off = set(random.sample(days, min(holidays, len(days))))
    pause = random.uniform(4, 12) * MINUTE
    for day in days:
        if day not in off:
            begin = _at(day, random.randint(7, 9), random.randint(0, 59))
            yield from _every(random, pause, Span(begin, _at(day, random.randint(16, 18), random.randint(0, 59))))


def _holidays(random: Random, span: Span) -> Iterator[int]:
    yield from _office_hours(random, span, holidays=3)


def _two_workers(random: Random, span: Span) -> Iterator[int]:
    yield from _steady(random, span)
    yield from _steady(random, span)


def _changed(random: Random, span: Span) -> Iterator[int]:
    """Upload often, and from some day on far less often, for good."""
    change = int(span.begin + (span.end - span.begin) * random.uniform(0.4, 0.7))
    yield from _steady(random, Span(span.begin, change))
    yield from _every(random, random.uniform(50, 100) * MINUTE, Span(change, span.end))


def _join(random: Random, span: Span) -> Span:
    return Span(int(span.begin + (span.end - span.begin) * random.uniform(0.3, 0.7)), span.end)


def _retire(random: Random, span: Span) -> Span:
    return Span(span.begin, int(span.begin + (span.end - span.begin) * random.uniform(0.4, 0.8)))


RHYTHMS: dict[str, Callable[[Random, Span], Iterator[int]]] = {
    "steady": _steady,
    "two workers": _two_workers,
    "bursts": _bursts,
    "hourly": _hourly,
    "nightly": _nightly,
    "office hours": _office_hours,
    "holidays": _holidays,
    "weekly": _weekly,
    "joined": _steady,
    "retired": _steady,
    "changed": _changed,
}
"""Each kind of host, and when it uploads."""

_LIVES: dict[str, Callable[[Random, Span], Span]] = {"joined": _join, "retired": _retire}


def _days(span: Span) -> Iterator[datetime]:
    day = (_EPOCH + timedelta(microseconds=span.begin)).astimezone(LAB).replace(hour=0, minute=0, second=0)
    last = _EPOCH + timedelta(microseconds=span.end)
    while day <= last:
        yield day.replace(microsecond=0)
        day += timedelta(days=1)


def _at(day: datetime, hour: int, minute: int) -> int:
    """Return a time of a day in the lab."""
    return round((day.replace(hour=hour, minute=minute) - _EPOCH) / timedelta(microseconds=1))
