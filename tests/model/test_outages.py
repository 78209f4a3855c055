"""When no host could upload, and which hosts missed an upload because of it."""

from __future__ import annotations

from random import Random

import pytest

from fleet_health.model.cadence import Cadence
from fleet_health.model.instant import HOUR_US
from fleet_health.model.outages import missed_until
from fleet_health.model.pauses import Pause
from fleet_health.model.rhythm import BIN_US, DAY, WEEK, Rhythm
from tests.model.rhythms import (
    CEILING_US,
    DAY_US,
    FLOOR_US,
    FOUR_WEEKS,
    MINUTE_US,
    MONDAY,
    by_day,
    cadence_of,
    every,
    limit_of,
    steady_then,
)

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
    """A host was due if it uploaded at that time a day or a week before; the end of the first such outage counts."""
    outages = Rhythm(NOW + 10, bits_of(*(10 + age for age in out)))

    found = missed_until(rhythm, outages, [STEADY, rhythm])

    assert found == (None if until is None else NOW + until)


@pytest.mark.parametrize("newest", [NOW - 2 * DAY, EVERY_NIGHT.newest])
def test_outages_that_end_before_the_newest_upload_are_over(newest: int) -> None:
    """Also if nothing is known about the time after it."""
    assert missed_until(EVERY_NIGHT, Rhythm(newest, 1), [STEADY]) is None


def test_the_only_host_that_was_due_shows_no_outage() -> None:
    """There may be nothing but its own absence."""
    outages = Rhythm(NOW, 1)

    assert missed_until(EVERY_NIGHT, outages, [EVERY_NIGHT]) is None
    assert missed_until(EVERY_NIGHT, outages, [daily(6, 13, 20), EVERY_NIGHT]) is None
    assert missed_until(EVERY_NIGHT, outages, [EVERY_NIGHT, daily(*range(1, 28))]) == NOW + 1


def test_a_stop_of_the_receiver_is_no_interval() -> None:
    """Time in which no host could upload is left out, even if this is the only host, and after a restart too."""
    down = MONDAY - 3 * DAY_US, MONDAY - 2 * DAY_US - 12 * HOUR_US
    uploads = [at for at in every(HOUR_US, MONDAY - 10 * DAY_US, MONDAY) if not down[0] <= at < down[1]]
    cadence, restored = cadence_of(a=uploads), Cadence(1)
    before = cadence.limit_of("a", cadence.outages(), FLOOR_US, CEILING_US)
    cadence.note_outages([Pause(*down, "started"), Pause(0, MONDAY, "unsure", is_known=False), Pause(5, 6, "short")])
    restored.restore(cadence.snapshot(MONDAY))

    after = [one.limit_of("a", one.outages(), FLOOR_US, CEILING_US).limit_us for one in (cadence, restored)]
    assert before.limit_us > 8 * HOUR_US
    assert after == [limit_of(every(HOUR_US, MONDAY - 10 * DAY_US, MONDAY)).limit_us] * 2


def test_when_no_host_uploads_though_some_always_did_nobody_could() -> None:
    """If all hosts that always uploaded at that time are missing, it was an outage; a night at an office is not."""
    out = MONDAY - 3 * DAY_US, MONDAY - 3 * DAY_US + 7 * HOUR_US
    steady = [at for at in every(5 * MINUTE_US, FOUR_WEEKS, MONDAY) if not out[0] <= at < out[1]]
    hourly = [at for at in every(HOUR_US, FOUR_WEEKS, MONDAY) if not out[0] <= at < out[1]]
    office = by_day((8, 17), FOUR_WEEKS, MONDAY)
    together, alone = cadence_of(steady=steady, hourly=hourly), cadence_of(office=office)

    assert together.intervals_of("hourly", together.outages(), 2 * HOUR_US) == []
    assert len(together.intervals_of("hourly", Rhythm(0, 0), 2 * HOUR_US)) == 1
    assert alone.intervals_of("office", alone.outages(), HOUR_US) == alone.intervals_of("office", Rhythm(0, 0), HOUR_US)


def test_the_only_host_cannot_show_an_outage() -> None:
    """If the only host uploads more rarely, that is its new rhythm, and it is learned."""
    only = cadence_of(only=steady_then(every(HOUR_US, MONDAY - 10 * HOUR_US, MONDAY)))

    assert only.outages().bits == 0


def bins_of(rhythm: Rhythm) -> set[int]:
    """Return the numbers of the bins of a rhythm."""
    return {rhythm.newest - back for back in range(rhythm.bits.bit_length()) if rhythm.bits >> back & 1}


@pytest.mark.parametrize("seed", range(12))
def test_outages_are_what_one_counts_bin_by_bin(seed: int) -> None:
    """Three bins without an upload that had uploads a week ago and on most days are an outage."""
    chance = Random(seed)  # noqa: S311 - to be the same each time
    day, since = DAY_US // BIN_US, MONDAY // BIN_US - 15 * (DAY_US // BIN_US)
    outages = [
        range(begin, begin + chance.randrange(1, 9)) for begin in chance.sample(range(since, MONDAY // BIN_US), 12)
    ]
    # So that at some hours there were uploads on just enough of the days before, and at others on one fewer.
    away = {(since // day + number, host) for number in range(16) for host in "abc" if chance.random() < 0.4}
    uploads = {
        host: [
            number
            for number in range(since, MONDAY // BIN_US - chance.randrange(day))
            if begins <= number % day < ends
            and (number // day, host) not in away
            and chance.random() < share
            and not any(number in out for out in outages)
        ]
        for host, (begins, ends, share) in {"a": (40, 150, 0.8), "b": (100, 192, 0.6), "c": (0, 60, 0.9)}.items()
    }
    active = {number for numbers in uploads.values() for number in numbers}
    about = {number + apart for number in active for apart in range(-2, 3)}
    quiet = {
        number
        for number in range(since, max(active) + 1)
        if number not in active
        and number - 7 * day in about
        and sum(number - back * day in about for back in range(1, 8)) >= 4
    }
    runs = [{number, number + 1, number + 2} for number in quiet]

    cadence = cadence_of(**{host: [number * BIN_US for number in numbers] for host, numbers in uploads.items()})

    assert bins_of(cadence.outages()) == set[int]().union(*(run for run in runs if run <= quiet))


def test_outages_that_are_known_count_from_whichever_is_later() -> None:
    """A known outage may end after the newest upload of all hosts."""
    cadence = cadence_of(a=[MONDAY])
    cadence.note_outages([Pause(MONDAY + HOUR_US, MONDAY + 2 * HOUR_US, "stopped")])

    assert cadence.outages() == Rhythm(MONDAY // BIN_US, 0)
    assert Cadence(1).outages().bits == 0
