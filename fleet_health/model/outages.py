"""When no host could upload.

The receiver was stopped, its machine was off, or none of several hosts uploaded at a time at which some did a week
before, and on most days between.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from fleet_health.model.rhythm import ALL_BINS, BIN_US, BINS, DAY, WEEK, Rhythm

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from fleet_health.model.pauses import Pause

# An outage is a span of this length without any upload. A fleet with shorter gaps is active all the time.
_OUTAGE, _APART = 3, 2
_MOST_DAYS, _MOST_WEEKS = 4, 2
# An upload of every night is now some minutes earlier, now some later.
_SPREAD = 1
_DAYS, _WEEKS = range(1, 8), range(1, 4)


def with_pauses(outages: Rhythm, pauses: Iterable[Pause]) -> Rhythm:
    """Return outages, in the form of a rhythm, with further spans of time in which no host could upload."""
    for pause in pauses:
        first, end = -(-pause.since // BIN_US), pause.until // BIN_US
        if not pause.is_known or end <= first:
            continue
        newest = max(outages.newest, end - 1)
        kept = outages.bits << min(newest - outages.newest, BINS)
        new = ((1 << min(end - first, BINS)) - 1) << min(newest - end + 1, BINS)
        outages = Rhythm(newest, (kept | new) & ALL_BINS)
    return outages


def outages_of(rhythms: Collection[Rhythm], known: Rhythm) -> Rhythm:
    """Return the bins in which no host could upload, in the form of a rhythm of more bins than a host's.

    In such a span no host uploaded, though some did at that time a week before and on most days between. If there is
    only one host, its silence says nothing about the receiver.

    Args:
        rhythms: The rhythms of all hosts.
        known: The outages that are known.

    """
    newest = max((one.newest for one in rhythms), default=0)
    active = reduce(or_, (one.bits << min(newest - one.newest, 2 * BINS) for one in rhythms), 0)
    about = reduce(or_, (active << ahead >> _APART for ahead in range(2 * _APART + 1)))
    quiet = about >> WEEK & _on_most_days(about) & ~active if len(rhythms) > 1 else 0
    # Only what lasts.
    begun = reduce(and_, (quiet >> later for later in range(_OUTAGE)))
    lasting = reduce(or_, (begun << later for later in range(_OUTAGE)))
    if known.newest > newest:
        return Rhythm(newest, lasting | known.bits >> min(known.newest - newest, BINS))
    return Rhythm(newest, lasting | known.bits << min(newest - known.newest, 2 * BINS))


def missed_until(rhythm: Rhythm, outages: Rhythm, rhythms: Iterable[Rhythm]) -> int | None:
    """Return the end of the first outage since a host's newest upload in which it was due: it could not upload then.

    Only the first one counts, or outages that come every day would hide a host that is dead. Another host must have
    been due as well: the absence of the only one that uploads at that time shows no outage.

    Args:
        rhythm: The rhythm of the host.
        outages: The outages, from `outages_of`.
        rhythms: The rhythms of all hosts.

    Returns:
        The number of the first bin after the outage; None if there was no such outage.

    """
    since = outages.newest - rhythm.newest
    text = f"{outages.bits & (1 << max(since, 0)) - 1:b}"
    for match in re.finditer("1+", text):
        first, end = (outages.newest - len(text) + 1 + place for place in match.span())
        if _is_due(rhythm, first, end) and any(_is_due(one, first, end) for one in rhythms if one is not rhythm):
            return end
    return None


def _is_due(rhythm: Rhythm, first: int, end: int) -> bool:
    """Return whether a host uploads in some bins on most of seven days, or in most of three weeks before."""
    length = end - first + 2 * _SPREAD

    def count(shifts: Iterable[int]) -> int:
        ages = (rhythm.newest - (end - 1 + _SPREAD) + shift for shift in shifts)
        return sum(bool(_shifted(rhythm.bits, age) & (1 << length) - 1) for age in ages)

    return count(day * DAY for day in _DAYS) >= _MOST_DAYS or count(week * WEEK for week in _WEEKS) >= _MOST_WEEKS


def _shifted(bits: int, age: int) -> int:
    return bits >> age if age >= 0 else bits << -age


def _on_most_days(active: int) -> int:
    """Return the bins that are set on most of the seven days before: the sums are computed bit by bit."""
    ones = twos = fours = 0
    for day in range(1, 8):
        added = active >> day * DAY
        ones, carried = ones ^ added, ones & added
        twos, carried = twos ^ carried, twos & carried
        fours |= carried
    assert _MOST_DAYS == 1 << 2  # noqa: S101 - of a sum up to 7 the highest bit says so
    return fours
