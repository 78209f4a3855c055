"""When an incident counts as flapping, and when no more."""

from __future__ import annotations

import pytest

from fleet_health.alerting.flapping import Flap, Flapping
from fleet_health.model.instant import HOUR_US, SECOND_US

NOW = 1_795_435_200_000_000
DAY_US = 24 * HOUR_US
PAIR = ("pi-1", "silent")
LIMIT = 3


def flaps_after(*ages: int) -> bool:
    """Open an incident so long before now, in order; return whether it flaps then."""
    flapping = Flapping()
    for age in ages:
        flapping.open(PAIR, NOW - age, LIMIT)
    return PAIR in flapping.flaps


@pytest.mark.parametrize(
    ("ages", "does_flap"),
    [
        pytest.param((3, 2, 1), False, id="as often as the limit is no flapping"),
        pytest.param((3, 2, 1, 0), True, id="once more is"),
        pytest.param((DAY_US - 1, 2, 1, 0), True, id="the first was a microsecond less than a day ago"),
        pytest.param((DAY_US, 2, 1, 0), False, id="what was exactly a day ago no longer counts"),
        pytest.param((-DAY_US + 3, 2, 1, 0), True, id="a clock that was set back counts alike"),
        pytest.param((-DAY_US + 2, 2, 1, 0), False, id="and forgets alike"),
    ],
)
def test_it_takes_more_openings_than_the_limit_within_a_day(ages: tuple[int, ...], *, does_flap: bool) -> None:
    """Only what opened within less than a day counts."""
    assert flaps_after(*ages) == does_flap


@pytest.mark.parametrize(
    ("still_us", "does_flap"),
    [(HOUR_US - 1, True), (HOUR_US, False), (-HOUR_US + 1, True), (-HOUR_US, False)],
)
def test_it_settles_when_it_has_held_still_for_long_enough(still_us: int, *, does_flap: bool) -> None:
    """Exactly so long is enough; then its host is remembered until that is notified."""
    flapping = Flapping({PAIR: [NOW]}, {PAIR: Flap(NOW, is_notified=True, notified_at=NOW - SECOND_US)})

    flapping.settle(NOW + still_us, HOUR_US, 10)

    assert (PAIR in flapping.flaps) == does_flap
    assert flapping.settled == ({} if does_flap else {"pi-1": (NOW - SECOND_US, NOW)})


@pytest.mark.parametrize(("age", "is_kept"), [(DAY_US - 1, True), (DAY_US, False)])
def test_openings_are_kept_for_a_day(age: int, *, is_kept: bool) -> None:
    """The latest of an incident decides."""
    flapping = Flapping({PAIR: [NOW - 2 * DAY_US, NOW - age]})

    flapping.settle(NOW, HOUR_US, 10)

    assert (PAIR in flapping.openings) == is_kept


def test_beyond_the_limit_the_least_often_opened_is_forgotten() -> None:
    """Up to the limit all are kept, flapping or not."""
    often, once = ("often", "silent"), ("once", "silent")
    flapping = Flapping({once: [NOW], often: [NOW - 2, NOW - 1]}, {once: Flap(NOW), often: Flap(NOW)})

    flapping.settle(NOW, HOUR_US, 2)
    assert (set(flapping.openings), set(flapping.flaps)) == ({often, once}, {often, once})

    flapping.settle(NOW, HOUR_US, 1)
    assert (set(flapping.openings), set(flapping.flaps)) == ({often}, {often})
