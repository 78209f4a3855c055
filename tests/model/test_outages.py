"""When no host could upload, and which hosts missed an upload for it."""

from __future__ import annotations

import pytest

from fleet_health.model.outages import missed_until
from fleet_health.model.rhythm import DAY, WEEK, Rhythm

NOW = 10 * WEEK


def bits_of(*ages: int) -> int:
    """Return the bits of some bins, counted back."""
    return sum(1 << age for age in ages)


def daily(*days: int) -> Rhythm:
    """Return the rhythm of a host that uploaded at this time of the day, so many days ago."""
    return Rhythm(NOW - days[0] * DAY, bits_of(*((day - days[0]) * DAY for day in days)))


EVERY_NIGHT, STEADY = daily(*range(1, 28)), Rhythm(NOW - DAY, (1 << 3 * WEEK) - 1)


@pytest.mark.parametrize(
    ("rhythm", "out", "until"),
    [
        pytest.param(EVERY_NIGHT, [], None, id="no outage"),
        pytest.param(EVERY_NIGHT, [2, 3], None, id="an outage at another time of the day"),
        pytest.param(EVERY_NIGHT, [0], 1, id="one at its own"),
        pytest.param(EVERY_NIGHT, [3, 2, 1], 0, id="one that ended just before: it may be early"),
        pytest.param(EVERY_NIGHT, [-1, -2], 3, id="one that began just after: it may be late"),
        pytest.param(EVERY_NIGHT, [-2, -3], None, id="one that began later"),
        pytest.param(daily(1, 3, 5, 7, 8, 9), [0], 1, id="it uploads on most days"),
        pytest.param(daily(1, 3, 5, 8, 9), [0], None, id="it uploads on some"),
        pytest.param(daily(7, 14), [0], 1, id="it uploads once a week"),
        pytest.param(daily(7), [0], None, id="it uploaded a week ago, once"),
        pytest.param(daily(6, 13, 20), [0], None, id="it uploads on another day of the week"),
        pytest.param(daily(*range(28)), [1, 2, 3], None, id="it has uploaded since then"),
        pytest.param(daily(*range(2, 28)), [0, DAY], 1 - DAY, id="of two, the first one"),
        pytest.param(daily(*range(2, 28)), [0, DAY - 5], 1, id="of two, the one at its time"),
    ],
)
def test_a_host_that_was_due_in_an_outage_missed_it(rhythm: Rhythm, out: list[int], until: int | None) -> None:
    """By the same time of the day or of the week before; what counts is the end of the first such outage."""
    outages = Rhythm(NOW + 10, bits_of(*(10 + age for age in out)))

    found = missed_until(rhythm, outages, [STEADY, rhythm])

    assert found == (None if until is None else NOW + until)


@pytest.mark.parametrize("newest", [NOW - 2 * DAY, EVERY_NIGHT.newest])
def test_outages_that_end_before_the_newest_upload_are_over(newest: int) -> None:
    """Also where nothing is known of the time after it."""
    assert missed_until(EVERY_NIGHT, Rhythm(newest, 1), [STEADY]) is None


def test_the_only_host_that_was_due_shows_no_outage() -> None:
    """Its own absence may be all that there is of it."""
    outages = Rhythm(NOW, 1)

    assert missed_until(EVERY_NIGHT, outages, [EVERY_NIGHT]) is None
    assert missed_until(EVERY_NIGHT, outages, [daily(6, 13, 20), EVERY_NIGHT]) is None
    assert missed_until(EVERY_NIGHT, outages, [EVERY_NIGHT, daily(*range(1, 28))]) == NOW + 1
