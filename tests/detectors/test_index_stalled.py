"""`index-stalled`: accepted uploads in the journal, and no rows in the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.disagreement import DisagreementLimits
from fleet_health.detectors.index_stalled import IndexStalled
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.instant import SECOND_US
from fleet_health.model.window import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE_US = 60 * SECOND_US
WINDOW_US, SLACK_US = 30 * MINUTE_US, 2 * MINUTE_US
DETECTOR = IndexStalled(DisagreementLimits(WINDOW_US, SLACK_US, 3, SuggestedFix("Look."), min_count=2))
OLD = 5 * MINUTE_US


@pytest.mark.parametrize(
    ("answers", "uploads", "is_found"),
    [
        pytest.param([], [], False, id="nobody uploads"),
        pytest.param([(OLD, 201)] * 2, [], True, id="enough accepted uploads, and never a row"),
        pytest.param([(OLD, 201)], [], False, id="one accepted upload fewer"),
        pytest.param([(OLD, 200), (OLD, 299)], [], True, id="any 2xx is accepted"),
        pytest.param([(OLD, 201), (OLD, 412), (OLD, 500)], [], False, id="refusals have no row anyway"),
        pytest.param([(OLD, 201)] * 2, [OLD], False, id="with a row"),
        pytest.param([(OLD, 201)] * 2, [WINDOW_US], True, id="with a row from before them"),
        pytest.param([(OLD, 201)] * 2, [WINDOW_US + 1], True, id="with a row just before the window"),
        pytest.param([(OLD, 201)] * 2, [-1], False, id="with a row dated ahead"),
        pytest.param([(SLACK_US, 201)] * 2, [], True, id="uploads exactly as old as the slack"),
        pytest.param([(SLACK_US - 1, 201)] * 2, [], False, id="younger ones, whose rows may be in flight"),
        pytest.param([(WINDOW_US, 201)] * 2, [], True, id="uploads exactly at the window's beginning"),
        pytest.param([(WINDOW_US + 1, 201)] * 2, [], False, id="uploads before it"),
        pytest.param(
            [(WINDOW_US + 1 - SLACK_US, 201)] * 2, [WINDOW_US + 1], False, id="uploads just before whose end a row came"
        ),
        pytest.param(
            [(WINDOW_US - SLACK_US, 201)] * 2, [WINDOW_US + 1], True, id="uploads longer than the slack after a row"
        ),
    ],
)
def test_accepted_uploads_without_rows_are_a_finding(
    answers: list[tuple[int, int]], uploads: list[int], *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If enough hosts show it, to the microsecond, while others have rows; one host fewer is not enough."""

    def fleet(count: int) -> Fleet:
        hosts = [f"pi-{number}" for number in range(count)]
        return fleet_of(
            responses=[("well", 0, 201), *((host, age, status) for host in hosts for age, status in answers)],
            uploads=[("well", 0), *((host, age) for host in hosts for age in uploads)],
        )

    assert [finding.host for finding in DETECTOR.find(fleet(3), now)] == ["*"] * is_found
    assert list(DETECTOR.find(fleet(2), now)) == []


HOUR_US = 60 * MINUTE_US
FROM_ONE_HOST_ON = IndexStalled(
    DisagreementLimits(WINDOW_US, SLACK_US, 1, SuggestedFix("Look."), min_count=3), 24 * HOUR_US
)


@pytest.mark.parametrize(
    ("answers", "uploads", "hosts"),
    [
        pytest.param([("a", 1), ("a", 2), ("a", 3)], [], "a", id="a host that uploads each hour, and never a row"),
        pytest.param([("a", 1), ("a", 2)], [], "", id="two uploads are not enough"),
        pytest.param([("a", 1), ("a", 2), ("a", 3)], [("a", 4)], "a", id="since the last row of that host"),
        pytest.param([("a", 1), ("a", 2), ("a", 3)], [("a", 3)], "", id="the first of them had its row"),
        pytest.param(
            [("a", 1), ("b", 2), ("c", 3)], [("a", 4)], "abc", id="one upload each, and no row since of anybody"
        ),
        pytest.param([("a", 1), ("b", 2), ("c", 3)], [("d", 2.5)], "", id="somebody had a row meanwhile"),
        pytest.param([("a", 0.2), ("a", 2), ("a", 3)], [("b", 0)], "a", id="others have rows, and it uploads still"),
        pytest.param([("a", 1), ("a", 2), ("a", 3)], [("b", 0)], "", id="others have rows since it uploaded last"),
        pytest.param([("a", 22), ("a", 23), ("a", 24)], [], "a", id="as far back as uploads are known"),
        pytest.param([("a", 22), ("a", 23), ("a", 24.01)], [], "", id="and no further"),
    ],
)
def test_it_fires_from_one_host_on_however_seldom_it_uploads(
    answers: list[tuple[str, float]],
    uploads: list[tuple[str, float]],
    hosts: str,
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """Accepted uploads are remembered for longer than the window; ages are in hours."""
    fleet = fleet_of(
        responses=[(host, round(age * HOUR_US), 201) for host, age in reversed(answers)],
        uploads=[(host, round(age * HOUR_US)) for host, age in uploads],
    )
    fleet.traffic.evict(now - WINDOW_US)
    found = [finding.detail for finding in FROM_ONE_HOST_ON.find(fleet, now)]

    assert [detail.partition("no row: ")[2] for detail in found] == ([", ".join(hosts)] if hosts else [])


def test_a_row_some_seconds_before_or_after_its_response_is_no_finding(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The two sources need not agree to the second, and rows may still be on their way."""
    for off_us in (-30 * SECOND_US, 30 * SECOND_US, SLACK_US):
        ages = [number * 10 * MINUTE_US + MINUTE_US for number in range(6)]
        fleet = fleet_of(
            responses=[("a", age, 201) for age in ages], uploads=[("a", max(0, age + off_us)) for age in ages]
        )

        assert list(FROM_ONE_HOST_ON.find(fleet, now)) == []


def test_what_was_accepted_before_the_index_begins_has_its_row_elsewhere(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """An index that was rotated away or begins later has not stalled."""
    by_hour = fleet_of(responses=[("a", age * HOUR_US, 201) for age in (4, 3, 2, 1)])
    of_late = fleet_of(responses=[("a", age * MINUTE_US, 201) for age in (20, 15, 10, 5)])
    for fleet, begins_ago in ((by_hour, 2 * HOUR_US), (of_late, -1), (of_late, -HOUR_US)):
        fleet.coverage = (Coverage("index", begins_at=now - begins_ago),)

        assert list(FROM_ONE_HOST_ON.find(fleet, now)) == []
    for begins_at in (None, NEVER, now - 16 * MINUTE_US, now):
        of_late.coverage = (Coverage("index", begins_at=begins_at),)

        assert len(list(FROM_ONE_HOST_ON.find(of_late, now))) == 1


def test_a_finding_names_ten_hosts(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """All hosts are counted; it inhibits nothing."""
    hosts = [f"pi-{number:02}" for number in range(12)]

    assert list(DETECTOR.find(fleet_of(responses=[(host, OLD, 201) for host in hosts] * 3), now)) == [
        Finding(
            host="*",
            symptom="index-stalled",
            detail=(
                "the journal has 36 accepted uploads of 12 hosts of which the index has no row:"
                " pi-00, pi-01, pi-02, pi-03, pi-04, pi-05, pi-06, pi-07, pi-08, pi-09 and 2 more"
            ),
            suggested_fix="Look.",
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
    hosts = ["pi-1", "pi-2", "pi-3"]
    bad = fleet_of(responses=[(host, OLD, 201) for host in hosts] * 2)
    good = fleet_of(responses=[("pi-1", OLD, 201)], uploads=[("pi-1", OLD)])
    bad.coverage = good.coverage = (Coverage(source, gaps=(Gap(now - gap[0], now - gap[1], "lost"),)),)

    assert len(list(DETECTOR.find(bad, now))) == is_seen
    assert DETECTOR.is_over(good, "*", now) == is_seen


@pytest.mark.parametrize(
    ("answer", "upload", "is_over"),
    [
        pytest.param(None, None, False, id="nobody uploads any more"),
        pytest.param((OLD, 201), None, False, id="an upload without a row"),
        pytest.param(None, OLD, False, id="a row without an upload"),
        pytest.param((OLD, 412), OLD, False, id="a row, and a refusal"),
        pytest.param((WINDOW_US, 201), WINDOW_US, True, id="both at the window's beginning"),
        pytest.param((0, 201), 0, True, id="both at this very instant"),
        pytest.param((0, 201), -1, False, id="a row that is dated ahead"),
        pytest.param((OLD, 201), WINDOW_US + 1, False, id="a row from before it"),
        pytest.param((WINDOW_US + 1, 201), OLD, False, id="an upload from before it"),
    ],
)
def test_it_is_over_when_an_upload_is_in_both(
    answer: tuple[int, int] | None, upload: int | None, *, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """That the disagreement is no longer visible is not enough."""
    fleet = fleet_of(
        responses=[] if answer is None else [("pi-1", *answer)], uploads=[] if upload is None else [("pi-1", upload)]
    )

    assert DETECTOR.is_over(fleet, "*", now) == is_over


def test_the_reach_holds_the_row_before_the_window() -> None:
    """A row just before the window may belong to a response in it."""
    assert DETECTOR.lookback == Lookback(uploads_us=WINDOW_US + SLACK_US, traffic_us=WINDOW_US)


@pytest.mark.parametrize(
    ("known_us", "uploads_us"),
    [(0, WINDOW_US + SLACK_US), (WINDOW_US + SLACK_US, WINDOW_US + SLACK_US), (WINDOW_US * 2, WINDOW_US * 2)],
)
def test_it_looks_back_as_far_as_uploads_are_known_and_no_less_than_its_window(known_us: int, uploads_us: int) -> None:
    """A row may be later than its response by the allowed difference."""
    detector = IndexStalled(DisagreementLimits(WINDOW_US, SLACK_US, 3, SuggestedFix("Look.")), known_us)

    assert detector.lookback == Lookback(uploads_us=uploads_us, traffic_us=WINDOW_US)
