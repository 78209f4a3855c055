"""Rows dated ahead of the clock count once, and not again when their time comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import Upload
from fleet_health.model.row_dates import MOST_AHEAD, MOST_TO_COME, RowDates
from tests.rig.properties import tried

NOW = 1_795_460_100_000_000
LIMIT = 300 * SECOND_US
MINUTE = 60 * SECOND_US
YEAR = 365 * 24 * HOUR_US
PROPERTY = tried(200)


def dated(dates: RowDates, *ats: int, now: int = NOW, **circumstances: object) -> list[int]:
    """Return how rows of one host count, in minutes before the present; each row given in the same way."""
    rows = [Upload("a", now - at * MINUTE) for at in ats]
    return [(now - one.at) // MINUTE for one in dates.date(rows, now, **circumstances)[0]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ahead", "counts_at", "is_counted"),
    [
        pytest.param(-LIMIT, -LIMIT, False, id="a row from the past stays as it is"),
        pytest.param(0, 0, False, id="a row of this instant stays as it is"),
        pytest.param(LIMIT, LIMIT, False, id="exactly five minutes ahead stays as it is"),
        pytest.param(LIMIT + 1, 0, True, id="a microsecond more counts as now"),
        pytest.param(YEAR, 0, True, id="a year ahead counts as now"),
    ],
)
@pytest.mark.parametrize("is_new", [False, True])
def test_a_row_too_far_ahead_is_in_error(ahead: int, counts_at: int, *, is_counted: bool, is_new: bool) -> None:
    """A row more than five minutes ahead of the clock counts as now if it was just written."""
    rows = [Upload("a", NOW + ahead)]

    assert RowDates().date(rows, NOW, is_new=is_new) == ([Upload("a", NOW + counts_at)], int(is_counted))


@pytest.mark.parametrize(
    ("ats", "circumstances", "counts_at"),
    [
        pytest.param([46, -999, 45], {}, [46, 46, 45], id="between two rows it counts as the one before"),
        pytest.param([46, -999, -998, 45], {}, [46, 46, 46, 45], id="so do several"),
        pytest.param([-999, 45], {}, [45, 45], id="in front of all rows it counts as the first"),
        pytest.param([46, -999], {}, [46, 46], id="before rows that are still to be read as the one before"),
        pytest.param([46, -999], {"written_at": 20}, [46, 46], id="also if it is known when the last one was written"),
        pytest.param([46, -999], {"written_at": 20, "is_end": True}, [46, 20], id="at the end it was written last"),
        pytest.param([-999], {"written_at": 20, "is_end": True}, [20], id="also alone"),
        pytest.param([-999], {"written_at": 20}, [20], id="alone it was written no later"),
        pytest.param([-999, 45], {"written_at": 20, "is_end": True}, [45, 45], id="but not if another one was last"),
        pytest.param([46, -999, 45], {"written_at": -60}, [46, 0, 45], id="a file from the future tells of our clock"),
        pytest.param([46, -999], {"written_at": -1, "is_end": True}, [46, 0], id="none counts later than now"),
        pytest.param([46, -999, 45], {"is_new": True}, [46, 0, 45], id="a new one counts as now"),
        pytest.param([], {}, [], id="nothing"),
    ],
)
def test_a_row_ahead_counts_when_it_was_written(
    ats: list[int], circumstances: dict[str, int], counts_at: list[int]
) -> None:
    """As far as that is known; the cases give minutes before the present."""
    if "written_at" in circumstances:
        circumstances = circumstances | {"written_at": NOW - circumstances["written_at"] * MINUTE}

    assert dated(RowDates(), *ats, **circumstances) == counts_at


def test_a_row_exactly_at_the_limit_is_one_that_others_go_by() -> None:
    """It keeps its date; a row before it that is too far ahead counts at that time, but not later than now."""
    rows = [Upload("a", NOW + YEAR), Upload("b", NOW + LIMIT)]

    found = RowDates().date(rows, NOW, written_at=NOW - 20 * MINUTE)

    assert found == ([Upload("a", NOW), Upload("b", NOW + LIMIT)], 1)


@pytest.mark.parametrize(("ahead", "counts_at"), [(LIMIT, 46), (LIMIT + 1, 0)])
def test_a_file_is_from_the_future_beyond_the_limit(ahead: int, counts_at: int) -> None:
    """Up to the limit the clocks merely differ; a row too far ahead counts as the row before it."""
    assert dated(RowDates(), 46, -999, 45, written_at=NOW + ahead) == [46, counts_at, 45]


def test_the_row_before_may_have_been_in_an_earlier_block() -> None:
    """A reading continues from block to block."""
    dates = RowDates()
    dated(dates, 50, 46)

    assert dated(dates, -999, 45) == [46, 45]


@pytest.mark.parametrize("later_by", [10 * MINUTE, 2 * HOUR_US])
def test_it_does_not_count_anew(later_by: int) -> None:
    """Neither before nor after its time comes, in another reading or after a restart."""
    dates, row = RowDates(), Upload("a", NOW + HOUR_US)
    dates.date([row], NOW, is_new=True)
    dates.confirm()
    restarted = RowDates(dates.ahead_since(NOW))
    rows = [row, Upload("a", NOW + 8 * MINUTE), Upload("b", row.at)]

    for again in (dates.anew(), restarted):
        first, own, other = again.date(rows, NOW + later_by, written_at=NOW + 9 * MINUTE)[0]

        assert (first.at, own.at) == (NOW, NOW + 8 * MINUTE)
        assert other.at == (row.at if later_by > HOUR_US else NOW + 8 * MINUTE)


def test_it_does_not_count_anew_when_the_clock_is_set() -> None:
    """What a clock finds that is set again before it is confirmed is forgotten, and what was known before is not."""
    row, good = Upload("a", NOW + YEAR), Upload("b", NOW - MINUTE)
    right = RowDates()
    right.date([row], NOW, is_new=True)
    right.confirm()
    behind = right.by_another_clock()
    found = behind.date([row, good], NOW - 2 * HOUR_US)[0]
    saved = behind.ahead_since(0)
    again = behind.anew().by_another_clock()

    assert [one.at for one in found] == [NOW - 2 * HOUR_US] * 2
    assert saved == [("a", row.at, NOW)]
    assert again.date([row, good], NOW + MINUTE)[0] == [Upload("a", NOW), good]
    assert again.by_another_clock().date([row], NOW + HOUR_US)[0] == [Upload("a", NOW)]


def test_what_is_read_between_a_wrong_setting_of_the_clock_and_its_notice_counts_at_its_own_time() -> None:
    """It was found ahead of a clock that nobody has confirmed."""
    dates, row = RowDates(), Upload("a", NOW)
    dates.confirm()
    found = dates.date([row], NOW - HOUR_US, is_new=True)[0]

    assert found == [Upload("a", NOW - HOUR_US)]
    assert dates.ahead_since(0) == []
    assert dates.by_another_clock().date([row], NOW + MINUTE) == ([row], 0)


def test_it_is_found_ahead_once_also_within_one_instant() -> None:
    """It is known when it is read again at the instant at which it counts."""
    dates, row = RowDates(), Upload("a", NOW + HOUR_US)

    assert dates.date([row], NOW, is_new=True) == ([Upload("a", NOW)], 1)
    assert dates.anew().date([row], NOW) == ([Upload("a", NOW)], 0)


def test_a_clock_that_stands_still_is_heard_again_and_again() -> None:
    """Consecutive rows with the same time are different rows; the last one counts."""
    dates, row = RowDates(), Upload("a", NOW + YEAR)
    new = [dates.date([row], NOW + minute * MINUTE, is_new=True)[0][0].at for minute in (0, 5)]

    assert new == [NOW, NOW + 5 * MINUTE]
    assert dates.anew().date([row], NOW + HOUR_US)[0] == [Upload("a", NOW + 5 * MINUTE)]


def test_only_so_many_are_remembered() -> None:
    """The latest ones; fewer of those that no longer matter but whose own time is still to come."""
    dates = RowDates()
    dates.date([Upload("a", NOW + YEAR + number) for number in range(MOST_AHEAD + 5)], NOW, is_new=True)
    dates.confirm()
    remembered = dates.ahead_since(NOW)

    assert len(remembered) == MOST_AHEAD
    assert remembered[0][1] == NOW + YEAR + 5
    assert dates.ahead_since(NOW + 1) == dates.ahead_since(0)
    assert dates.ahead_since(0) == remembered[-MOST_TO_COME:]
    assert dates.ahead_since(remembered[-1][1]) == remembered[-1:]
    assert dates.ahead_since(remembered[-1][1] + 1) == dates.ahead_since(0) == []


@PROPERTY
@given(
    offsets=st.lists(st.integers(-(10**9), 10**9)), blocks=st.integers(0, 5), is_end=st.booleans(), is_new=st.booleans()
)
def test_every_row_counts_and_none_later_than_the_clocks_differ(
    offsets: list[int], blocks: int, *, is_end: bool, is_new: bool
) -> None:
    """Whatever the rows and blocks are; rows that are not ahead keep their date."""
    dates, rows = RowDates(), [Upload("a", NOW + offset) for offset in offsets]
    for begin in range(0, len(rows), blocks + 1):
        block = rows[begin : begin + blocks + 1]
        found, ahead = dates.date(block, NOW, is_end=is_end, is_new=is_new)

        assert [row.host for row in found] == [row.host for row in block]
        assert all(row.at <= NOW + LIMIT for row in found)
        assert ahead <= sum(row.at > NOW + LIMIT for row in block)
        assert is_new or all(one == row for one, row in zip(found, block, strict=True) if row.at <= NOW + LIMIT)


def test_the_only_row_of_a_file_s_end_was_written_when_the_file_was() -> None:
    """Even if rows were read before it, and it is dated ahead."""
    dates, row = RowDates(), Upload("a", NOW + HOUR_US)
    dates.date([Upload("b", NOW - HOUR_US)], NOW)
    written_at = NOW - 5 * MINUTE

    assert dates.date([row], NOW, written_at=written_at, is_end=True) == ([Upload("a", written_at)], 1)
