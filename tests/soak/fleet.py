"""What the hosts do, the same in every hour, and what the rules say of it.

Everything that is remembered of an hour's beginning is forgotten by its end, so the service is as large at the end of
each hour as at the end of the first. At each full minute and a half, which is when a host acts, it is clear to which
tick of five minutes it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

RULES = """\
tick = "5m"
detectors.silent.after = "30m"
detectors.silent.lookback = "45m"
detectors.fatal-only.window = "30m"
detectors.unstamped.window = "30m"
# Those that are refused here have never uploaded; each is to be alerted by itself.
detectors.unknown-hosts.enabled = false
"""
"""The configuration for which `expected_alerts` holds; the counts needed are the default ones, ten."""

_REFUSALS = (400, 412, 500, 503)


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload: whose, and what it was answered.

    Attributes:
        host: The host.
        status: The HTTP status; an upload that was accepted is in the index, too.
        is_stamped: False if it was refused for want of a stamp.

    """

    host: str
    status: int = 201
    is_stamped: bool = True

    @property
    def is_accepted(self) -> bool:
        """True if it stands in the index."""
        return self.status == 201


class Fleet:
    """So many hosts, at any time: most are well, and some of each kind show a symptom once an hour."""

    def __init__(self, count: int) -> None:
        """Divide the hosts among the kinds; there must be at least twelve."""
        # No more in a larger fleet: for a day every alert is remembered, which is all that grows after the first hour.
        some = min(count // 12, 5)
        self._passing = range(4 * some)
        """Each hour others: they come, upload for a while, and are never heard of again."""
        self._pausing = range(some)
        """They fall silent, and come back."""
        self._refused = range(some)
        """They are refused for most of an hour."""
        self._unstamped = range(some)
        """For a while they run code that is too old."""
        self._steady = range(count - 7 * some)

    def uploads(self, hour: int, minute: int, random: Random) -> Iterator[Upload]:
        """Return the uploads of one minute of one hour."""
        for number in self._steady:
            if (number + minute) % 5 == 0:
                yield Upload(f"steady-{number}")
        is_early, is_late = minute < 5, minute >= 45
        if minute < 10:
            yield from (Upload(_passing(hour, number)) for number in self._passing)
        if is_early or is_late:
            yield from (Upload(f"pausing-{number}") for number in self._pausing)
        for number in self._refused:
            yield Upload(f"refused-{number}", 201 if is_early or is_late else random.choice(_REFUSALS))
        for number in self._unstamped:
            is_stamped = not 10 <= minute <= 30
            yield Upload(f"unstamped-{number}", 201 if is_stamped else 400, is_stamped=is_stamped)

    def expected_alerts(self, hour: int) -> Iterator[tuple[str, str, int]]:
        """Return the host, symptom and minute of each alert that the rules ask for in one hour."""
        for number in self._unstamped:
            yield f"unstamped-{number}", "unstamped", 20
        for number in self._refused:
            yield f"refused-{number}", "fatal-only", 35
            yield f"refused-{number}", "silent", 35
        for number in self._pausing:
            yield f"pausing-{number}", "silent", 35
        for number in self._passing:
            yield _passing(hour, number), "silent", 40


def _passing(hour: int, number: int) -> str:
    return f"passing-{hour}-{number}"
