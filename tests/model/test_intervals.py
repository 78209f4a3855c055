"""The intervals between the uploads of a host."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.cadence import Cadence
from fleet_health.model.intervals import Interval, histogram
from fleet_health.model.observation import Upload
from fleet_health.model.rhythm import BIN_US, Rhythm
from tests.model.rhythms import (
    cadence_of,
)


@given(st.sets(st.integers(0, 5375), max_size=60), st.sets(st.integers(0, 5375), max_size=60), st.integers(1, 200))
def test_intervals_are_those_of_a_count_by_hand(ages: set[int], out: set[int], least: int) -> None:
    """An interval is the distance of its bins, without the bins in which no host could upload."""
    cadence, uploads = Cadence(1), sorted(5375 - age for age in ages | {0})
    cadence.record(Upload("a", number * BIN_US) for number in uploads)
    by_hand = [
        Interval(begin, end - begin - sum(1 for number in range(begin + 1, end) if 5375 - number in out), end)
        for begin, end in pairwise(uploads)
    ]

    found = cadence.intervals_of("a", Rhythm(5375, sum(1 << age for age in out)), least * BIN_US)

    assert found == [one for one in by_hand if one.length > least]


@given(st.sets(st.integers(0, 5375), max_size=80))
def test_the_picture_has_every_interval_once(ages: set[int]) -> None:
    """Each class of the histogram is twice as long as the one before."""
    cadence, uploads = Cadence(1), sorted({0, *ages})
    cadence.record(Upload("a", (10_000 - age) * BIN_US) for age in uploads)
    rhythm = cadence.rhythm("a")
    assert rhythm is not None
    lengths = [later - one for one, later in pairwise(uploads)]

    classes = histogram(rhythm, cadence.intervals_of("a", Rhythm(0, 0)))

    assert [up_to for up_to, _ in classes] == [2 * BIN_US << number for number in range(len(classes))]
    for number, (up_to, count) in enumerate(classes):
        least = 0 if number == 0 else up_to // 2
        assert count == sum(least < length * BIN_US <= up_to for length in lengths)
    assert sum(count for _, count in classes) == len(lengths)


@pytest.mark.parametrize(("out", "length"), [(9, 10), (10, 9), (11, 9), (17, 9), (18, 9), (19, 10), (20, 10)])
def test_of_an_interval_each_bin_is_left_out_in_which_nobody_could_upload(out: int, length: int) -> None:
    """Only bins between the two uploads are left out, the first and the last of them included."""
    cadence = cadence_of(a=[9 * BIN_US, 19 * BIN_US])

    assert cadence.intervals_of("a", Rhythm(out, 1)) == [Interval(9, length, 19)]
