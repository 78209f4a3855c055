"""`journal-lossy`: rows in the index, and no accepted uploads in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.disagreement import DisagreementLimits
from fleet_health.detectors.journal_lossy import JournalLossy
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE_US = 60 * SECOND_US
WINDOW_US, SLACK_US = 30 * MINUTE_US, 2 * MINUTE_US
DETECTOR = JournalLossy(DisagreementLimits(WINDOW_US, SLACK_US, 3, SuggestedFix("Look.")))
OLD = 5 * MINUTE_US


@pytest.mark.parametrize(
    ("uploads", "answers", "is_found"),
    [
        pytest.param([], [], False, id="nobody uploads"),
        pytest.param([OLD], [], True, id="a row, and no answer at all"),
        pytest.param([OLD], [(OLD, 412), (OLD, 500)], True, id="a row, and refusals only"),
        pytest.param([OLD], [(OLD, 201)], False, id="a row and its upload"),
        pytest.param([OLD], [(0, 299)], False, id="any 2xx up to now will do"),
        pytest.param([OLD], [(-1, 201)], True, id="one after now has not happened yet"),
        pytest.param([OLD], [(WINDOW_US, 201)], False, id="one at the window's beginning will do"),
        pytest.param([OLD], [(WINDOW_US + 1, 201)], True, id="one before it will not"),
        pytest.param([SLACK_US], [], True, id="a row exactly as old as the slack"),
        pytest.param([SLACK_US - 1], [], False, id="a younger one, whose entry may be in flight"),
        pytest.param([WINDOW_US - SLACK_US], [], True, id="a row exactly a slack after the window's beginning"),
        pytest.param([WINDOW_US - SLACK_US + 1], [], False, id="an older one, whose entry may be before the window"),
        pytest.param([OLD, SLACK_US - 1], [], True, id="however lately it uploaded again"),
        pytest.param(
            [WINDOW_US - SLACK_US + 1, SLACK_US - 1], [], False, id="rows that cannot be compared yet, or any more"
        ),
        pytest.param(
            [4 * OLD, 3 * OLD, 2 * OLD, OLD],
            [(4 * OLD, 201), (OLD, 201)],
            False,
            id="two of four, in half of the window",
        ),
        pytest.param([4 * OLD, 3 * OLD, 2 * OLD, OLD], [(4 * OLD, 201)], True, id="one of four"),
        pytest.param([OLD + 3, OLD + 2, OLD + 1, OLD], [(OLD, 201)], False, id="four rows of one request"),
    ],
)
def test_rows_without_accepted_uploads_are_a_finding(
    uploads: list[int], answers: list[tuple[int, int]], *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If enough hosts show it, to the microsecond; one host fewer is not enough."""

    def fleet(count: int) -> Fleet:
        hosts = [f"pi-{number}" for number in range(count)]
        return fleet_of(
            responses=[(host, age, status) for host in hosts for age, status in answers],
            uploads=[(host, age) for host in hosts for age in uploads],
        )

    assert [finding.host for finding in DETECTOR.find(fleet(3), now)] == ["*"] * is_found
    assert list(DETECTOR.find(fleet(2), now)) == []


@pytest.mark.parametrize(("lines", "is_found"), [(0, True), (7, True), (60, False)], ids=["none", "a few", "each"])
def test_hosts_that_upload_all_the_time_are_compared_as_well(
    lines: int, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Their last row is always too young to compare, so the ones before it are."""
    for seconds in (6, 30):
        ages = [number * seconds * SECOND_US for number in reversed(range(WINDOW_US // SECOND_US // seconds))]
        fleet = fleet_of(
            uploads=[(f"pi-{number}", age) for number in range(8) for age in ages],
            responses=[
                (f"pi-{number}", age, 201)
                for number in range(8)
                for age in (ages if lines == 60 else ages[:: len(ages) // lines] if lines else [])
            ],
        )

        assert len(list(DETECTOR.find(fleet, now))) == is_found


def test_a_finding_names_ten_hosts(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """All hosts are counted; it inhibits nothing."""
    uploads = [(f"pi-{number:02}", OLD) for number in range(11)]

    assert list(DETECTOR.find(fleet_of(uploads=uploads), now)) == [
        Finding(
            host="*",
            symptom="journal-lossy",
            detail=(
                "in the last 30 min the journal lacks at least 11 accepted uploads of 11 hosts of which the index has"
                " rows: pi-00, pi-01, pi-02, pi-03, pi-04, pi-05, pi-06, pi-07, pi-08, pi-09 and 1 more"
            ),
            suggested_fix="Look.",
            is_of_journal=True,
        )
    ]


@pytest.mark.parametrize("source", ["index", "journal"])
@pytest.mark.parametrize(
    ("gap", "is_seen"),
    [
        pytest.param((WINDOW_US + 2, WINDOW_US + 1), True, id="before the window"),
        pytest.param((WINDOW_US + 2, WINDOW_US), False, id="up to its beginning"),
        pytest.param((5, 4), False, id="within"),
    ],
)
def test_a_known_gap_makes_it_unknown(
    source: str, gap: tuple[int, int], *, is_seen: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The missing entries may explain the disagreement, and it is not over either."""
    bad = fleet_of(uploads=[(host, OLD) for host in ("pi-1", "pi-2", "pi-3")])
    good = fleet_of(responses=[("pi-1", OLD, 201)], uploads=[("pi-1", OLD)])
    bad.coverage = good.coverage = (Coverage(source, gaps=(Gap(now - gap[0], now - gap[1], "lost"),)),)

    assert len(list(DETECTOR.find(bad, now))) == is_seen
    assert DETECTOR.is_over(good, "*", now) == is_seen


def test_it_is_over_when_an_upload_is_in_both(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """That the disagreement is no longer visible is not enough."""
    assert not DETECTOR.is_over(fleet_of(), "*", now)
    assert not DETECTOR.is_over(fleet_of(uploads=[("pi-1", OLD)]), "*", now)
    assert DETECTOR.is_over(fleet_of(uploads=[("pi-1", OLD)], responses=[("pi-1", OLD, 201)]), "*", now)


@pytest.mark.parametrize(
    ("lines", "is_found", "is_over"),
    [
        pytest.param(3, True, False, id="less than half"),
        pytest.param(4, False, False, id="half"),
        pytest.param(5, False, False, id="less than three quarters"),
        pytest.param(6, False, True, id="three quarters"),
    ],
)
@pytest.mark.parametrize("hosts", [2, 3])
def test_near_its_limit_it_does_not_come_and_go(
    lines: int, hosts: int, *, is_found: bool, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """In a journal that drops about half of the lines, the share varies between evaluations."""
    ages = [OLD + number * 20 * SECOND_US for number in range(8)]
    names = [f"pi-{number}" for number in range(hosts)]
    fleet = fleet_of(
        uploads=[(name, age) for name in names for age in reversed(ages)],
        responses=[(name, age, 201) for name in names for age in reversed(ages[:lines])],
    )

    assert bool(list(DETECTOR.find(fleet, now))) == (is_found and hosts == 3)
    assert DETECTOR.is_over(fleet, "*", now) == (is_over or hosts == 2)


def test_the_reach_is_the_window() -> None:
    """For all that it counts."""
    assert DETECTOR.lookback == Lookback(uploads_us=WINDOW_US, traffic_us=WINDOW_US)


def test_the_sign_is_the_latest_upload_that_both_show(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """For each host the earlier of its newest row and newest response; none for a host in only one of them."""
    fleet = fleet_of(
        uploads=[("both", 9), ("row last", 3), ("row only", 1)],
        responses=[("both", 7, 201), ("row last", 5, 201), ("journal only", 0, 201)],
    )

    assert DETECTOR.sign_at(fleet, "*") == now - 5
    assert DETECTOR.sign_at(fleet_of(uploads=[("row only", 0)]), "*") is None
