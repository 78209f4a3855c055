"""How much a host uploads, compared with the days before."""

from __future__ import annotations

import pytest

from fleet_health.model.instant import HOUR_US
from fleet_health.model.usual_uploads import ComparedDay
from tests.model.rhythms import (
    DAY_US,
    FOUR_WEEKS,
    MINUTE_US,
    MONDAY,
    by_day,
    cadence_of,
    every,
    steady_then,
)


@pytest.mark.parametrize(
    ("instants", "share"),
    [
        pytest.param(every(5 * MINUTE_US, FOUR_WEEKS, MONDAY + 1), 1, id="a steady host"),
        pytest.param(steady_then(every(15 * MINUTE_US, MONDAY - 2 * HOUR_US, MONDAY + 1)), 0.5, id="half of it"),
        pytest.param(
            [*every(5 * MINUTE_US, MONDAY - 5 * DAY_US - 3 * HOUR_US, MONDAY - 3 * HOUR_US), MONDAY],
            1 / 16,
            id="once, of five days",
        ),
        pytest.param(
            [*every(5 * MINUTE_US, MONDAY - 4 * DAY_US - 3 * HOUR_US, MONDAY - 3 * HOUR_US), MONDAY],
            1,
            id="once, of four days",
        ),
        pytest.param(
            [*by_day((20, 24), FOUR_WEEKS, MONDAY - 3 * DAY_US), MONDAY], 1 / 15, id="days without uploads do not count"
        ),
    ],
)
def test_what_a_host_uploaded_lately_is_compared_with_other_days(instants: list[int], share: float) -> None:
    """The last day is compared with the median of at least five days; with fewer days it counts as usual."""
    cadence = cadence_of(a=instants)

    assert cadence.share_of_usual("a", 2 * HOUR_US) == share
    assert cadence.share_of_usual("b", 2 * HOUR_US) == 1


def test_a_host_of_which_nothing_is_known_is_compared_with_nothing() -> None:
    """Neither is a host without an upload in the last day."""
    cadence = cadence_of(a=every(HOUR_US, FOUR_WEEKS, MONDAY))
    outages, last_at = cadence.outages(), MONDAY - HOUR_US
    now = last_at + DAY_US + 30 * MINUTE_US

    assert cadence.compared_day("b", outages, now) == ComparedDay(0, 0, 0, 0, 0)
    assert cadence.compared_day("a", outages, now) == ComparedDay(0, 0, 0, 0, 0)
    assert cadence.compared_day("a", outages, now - 1).parts > 0
