"""Rows dated ahead of the clock: F8 in the live service, not yet happened in a evaluation of the past."""

from __future__ import annotations

import pytest

from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Upload
from fleet_health.model.row_dates import admit_live, admit_until

NOW = 1_795_460_100_000_000
FIVE_MINUTES = 300 * SECOND_US


@pytest.mark.parametrize(
    ("ahead", "taken_as", "is_counted"),
    [
        pytest.param(-FIVE_MINUTES, -FIVE_MINUTES, False, id="a row from the past stays as it is"),
        pytest.param(0, 0, False, id="a row of this instant stays as it is"),
        pytest.param(1, 1, False, id="a row slightly ahead stays as it is"),
        pytest.param(FIVE_MINUTES, FIVE_MINUTES, False, id="exactly five minutes ahead stays as it is"),
        pytest.param(FIVE_MINUTES + 1, 0, True, id="a microsecond more is taken as now, and counted"),
        pytest.param(365 * 86_400 * SECOND_US, 0, True, id="a year ahead is taken as now, and counted"),
    ],
)
def test_live_a_row_too_far_ahead_is_taken_as_now(ahead: int, taken_as: int, *, is_counted: bool) -> None:
    """More than five minutes ahead of the clock is an error of the row."""
    assert admit_live([Upload("a", NOW + ahead)], NOW) == ([Upload("a", NOW + taken_as)], int(is_counted))


@pytest.mark.parametrize(
    ("ahead", "has_happened"),
    [
        pytest.param(-1, True, id="earlier rows have happened"),
        pytest.param(0, True, id="a row of this instant has happened"),
        pytest.param(1, False, id="a row a microsecond later has not"),
        pytest.param(FIVE_MINUTES + 1, False, id="nor has one far ahead, and nothing is wrong with it"),
    ],
)
def test_as_of_an_instant_later_rows_have_not_happened(ahead: int, *, has_happened: bool) -> None:
    """A evaluation of the past does not see what came after."""
    upload = Upload("a", NOW + ahead)

    assert admit_until([upload], NOW) == ([upload] * has_happened, 0)


def test_rows_keep_their_order_and_hosts() -> None:
    """One bad row among others changes that row only."""
    rows = [Upload("a", NOW - 1), Upload("b", NOW + 2 * FIVE_MINUTES), Upload("c", NOW + 1)]

    assert admit_live(rows, NOW) == ([Upload("a", NOW - 1), Upload("b", NOW), Upload("c", NOW + 1)], 1)
    assert admit_until(rows, NOW) == ([Upload("a", NOW - 1)], 0)
    assert admit_live([], NOW) == admit_until([], NOW) == ([], 0)
