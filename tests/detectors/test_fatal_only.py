"""`fatal-only`, against the rule: enough responses, no 2xx, and at least the share `ratio` of refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.fatal_only import FatalOnly, FatalOnlyLimits
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import UnstampedLimits
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.instant import HOUR_US, SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

WINDOW_US = 30 * 60 * SECOND_US
LIMITS = FatalOnlyLimits(
    WINDOW_US,
    3,
    0.95,
    SuggestedFix("Mend $host."),
    SuggestedFix("Mend the HEAD of $host."),
    SuggestedFix("Mend the receiver of $host."),
)

Answers = list[tuple[int, int]]
"""Age and status of each answer."""


@pytest.mark.parametrize(
    ("answers", "is_found"),
    [
        pytest.param([], False, id="no answer at all says nothing"),
        pytest.param([(1, 412)] * 2, False, id="one refusal fewer than min_count says nothing"),
        pytest.param([(1, 412)] * 3, True, id="exactly min_count refusals are a finding"),
        pytest.param([(1, 412)] * 4, True, id="more than min_count refusals are a finding"),
        pytest.param([(1, 412), (1, 400), (1, 503)], True, id="4xx and 5xx count together"),
        pytest.param([(1, 400), (1, 499), (1, 599)], True, id="the first and the last status of a class belong to it"),
        pytest.param([(1, 412)] * 99 + [(1, 201)], False, id="a single success among 99 refusals is enough"),
        pytest.param([(1, 201)] * 5, False, id="successes alone are no finding"),
        pytest.param([(1, 412)] * 3 + [(1, 299)], False, id="any 2xx is a success"),
        pytest.param([(WINDOW_US, 412)] * 3, True, id="refusals exactly at the window's beginning count"),
        pytest.param([(WINDOW_US + 1, 412)] * 3, False, id="refusals a microsecond before the window do not count"),
        pytest.param([(0, 412)] * 3, True, id="refusals exactly at now count"),
        pytest.param([(-1, 412)] * 3, False, id="refusals a microsecond after now have not happened yet"),
        pytest.param([(WINDOW_US + 1, 412), (1, 412), (1, 412)], False, id="one of three just outside is one too few"),
        pytest.param([(1, 412)] * 3 + [(WINDOW_US, 201)], False, id="a success exactly at the beginning prevents it"),
        pytest.param([(1, 412)] * 3 + [(WINDOW_US + 1, 201)], True, id="a success just before the window does not"),
        pytest.param([(1, 412)] * 3 + [(0, 201)], False, id="a success exactly at now prevents it"),
        pytest.param([(1, 412)] * 3 + [(-1, 201)], True, id="a success just after now does not"),
    ],
)
def test_only_refusals_and_enough_of_them_are_a_finding(
    answers: Answers, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If the window has enough responses and no success, to the microsecond."""
    fleet = fleet_of(responses=[("pi-1", age, status) for age, status in answers])

    assert [finding.host for finding in FatalOnly(HostLimits(LIMITS)).find(fleet, now)] == ["pi-1"] * is_found


@pytest.mark.parametrize("ratio", [0.000001, 0.5, 0.95, 1.0])
def test_without_a_success_any_ratio_is_reached(ratio: float, fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Every response that counts and is not a success is a refusal."""
    limits = replace(LIMITS, ratio=ratio)
    fleet = fleet_of(responses=[("pi-1", 1, 412)] * 2 + [("pi-1", 1, 500)])

    assert len(list(FatalOnly(HostLimits(limits)).find(fleet, now))) == 1


@pytest.mark.parametrize(
    ("statuses", "fix"),
    [
        pytest.param([400, 409, 422], "Mend pi-1.", id="4xx alone: the host"),
        pytest.param([400, 422, 500], "Mend pi-1.", id="mostly 4xx: the host"),
        pytest.param([412, 412, 412], "Mend the HEAD of pi-1.", id="412 alone: its HEAD"),
        pytest.param([412, 412, 500], "Mend the HEAD of pi-1.", id="mostly 412: its HEAD"),
        pytest.param([412, 412, 400, 409], "Mend pi-1.", id="412 and others, half and half: the host"),
        pytest.param([412, 412, 500, 500], "Mend pi-1.", id="half and half is not most: the host"),
        pytest.param(
            [412, 412, 500, 502, 503], "Mend the receiver of pi-1.", id="mostly 5xx, of any kind: the receiver"
        ),
        pytest.param([500, 500, 500], "Mend the receiver of pi-1.", id="5xx alone: the receiver"),
    ],
)
def test_the_fix_goes_by_what_most_refusals_are(
    statuses: list[int], fix: str, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """More than half of them decide; mostly 5xx means that the receiver is at fault."""
    fleet = fleet_of(responses=[("pi-1", 1, status) for status in statuses])

    assert [finding.suggested_fix for finding in FatalOnly(HostLimits(LIMITS)).find(fleet, now)] == [fix]


def test_a_finding_carries_the_figures(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """It states how many, over which time, and with which statuses in ascending order."""
    fleet = fleet_of(responses=[("pi-1", 1, status) for status in (503, 422, 400, 422, 422)])

    assert list(FatalOnly(HostLimits(LIMITS)).find(fleet, now)) == [
        Finding(
            host="pi-1",
            symptom="fatal-only",
            detail="5 of 5 uploads in the last 30 min were refused: 1 x 400, 3 x 422, 1 x 503",
            suggested_fix="Mend pi-1.",
            since=now - 1,
        )
    ]


def test_an_empty_fleet_has_nobody_refused(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """There is no finding without hosts."""
    assert list(FatalOnly(HostLimits(LIMITS)).find(fleet_of(), now)) == []


def test_neither_uploads_nor_unstamped_rejections_are_answers(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Only access lines count, whatever else is known about a host."""
    fleet = fleet_of(
        uploads=[("pi-1", 1)],
        unstamped=[("pi-1", 1)] * 5 + [("pi-2", 1)] * 5,
        responses=[("pi-1", 1, 412)] * 3 + [("pi-2", 1, 412)] * 2,
    )

    assert [finding.host for finding in FatalOnly(HostLimits(LIMITS)).find(fleet, now)] == ["pi-1"]


def test_each_host_is_evaluated_by_its_own_limits(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Hosts that an override names have its limits, the others the default ones."""
    overrides = [Override("bench-*", {"window_us": HOUR_US, "min_count": 5}), Override("bench-1", {"min_count": 1})]
    refused = {"pi-1": (WINDOW_US + 1, 9), "pi-2": (1, 3), "bench-1": (HOUR_US, 1), "bench-2": (HOUR_US, 4)}
    fleet = fleet_of(responses=[(host, age, 412) for host, (age, count) in refused.items() for _ in range(count)])

    found = FatalOnly(HostLimits(LIMITS, overrides)).find(fleet, now)

    assert {finding.host: finding.detail for finding in found} == {
        "pi-2": "3 of 3 uploads in the last 30 min were refused: 3 x 412",
        "bench-1": "1 of 1 uploads in the last 1 h were refused: 1 x 412",
    }


def test_the_reach_is_the_longest_window() -> None:
    """The journal must be known as far back as the longest window of any host; rows are not needed."""
    overrides = [Override("a*", {"window_us": 2 * HOUR_US}), Override("b*", {"window_us": 1})]

    assert FatalOnly(HostLimits(LIMITS)).lookback == Lookback(uploads_us=WINDOW_US, traffic_us=WINDOW_US)
    assert FatalOnly(HostLimits(LIMITS, overrides)).lookback == Lookback(uploads_us=2 * HOUR_US, traffic_us=2 * HOUR_US)


@pytest.mark.parametrize(
    ("refused", "unstamped", "fix"),
    [
        pytest.param(3, 1, LIMITS.suggested_fix, id="fewer than half"),
        pytest.param(4, 2, LIMITS.suggested_fix, id="exactly half is not most"),
        pytest.param(3, 2, SuggestedFix("stamp $host"), id="more than half"),
    ],
)
def test_the_fix_is_that_of_unstamped_when_that_is_the_cause(
    refused: int, unstamped: int, fix: SuggestedFix, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If more than half of the refusals are for a missing stamp."""
    fleet = fleet_of(responses=[("pi-1", 1, 400)] * refused, unstamped=[("pi-1", 1)] * unstamped)
    stamps = HostLimits(UnstampedLimits(WINDOW_US, 10, SuggestedFix("stamp $host")))

    (finding,) = FatalOnly(HostLimits(LIMITS), stamps).find(fleet, now)

    assert finding.suggested_fix == fix.render("pi-1")


def lossy(source: str, since: int, until: int) -> Coverage:
    """Make a source that lacks something."""
    return Coverage(source, gaps=(Gap(since, until, "suppressed"),))


@pytest.mark.parametrize(
    ("uploaded", "journal_gap", "index_gap", "is_found", "is_over"),
    [
        pytest.param(None, None, None, True, True, id="whole"),
        pytest.param(1, None, None, True, True, id="in a whole window a row decides nothing"),
        pytest.param(None, (5, 4), None, True, False, id="lossy, and the index shows no acceptance"),
        pytest.param(1, (5, 4), None, False, True, id="lossy, and the index shows one"),
        pytest.param(0, (5, 4), None, False, True, id="lossy, and the index shows one at this very instant"),
        pytest.param(WINDOW_US, (5, 4), None, False, True, id="at the window's beginning"),
        pytest.param(WINDOW_US + 1, (5, 4), None, True, False, id="just before the window"),
        pytest.param(None, (5, 4), (9, 8), False, False, id="neither is whole, so it is unknown"),
        pytest.param(None, (WINDOW_US + 2, WINDOW_US + 1), None, True, True, id="a gap just before the window"),
        pytest.param(None, (WINDOW_US + 2, WINDOW_US), (9, 8), False, False, id="a gap that reaches into the window"),
        pytest.param(None, None, (9, 8), True, True, id="the index alone is not whole"),
    ],
)
def test_in_a_lossy_window_the_index_decides(  # noqa: PLR0917
    uploaded: int | None,
    journal_gap: tuple[int, int] | None,
    index_gap: tuple[int, int] | None,
    is_found: bool,  # noqa: FBT001
    is_over: bool,  # noqa: FBT001
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """Three refusals are a finding, two would be the end of it; ages are in microseconds."""
    uploads = [] if uploaded is None else [("pi-1", uploaded)]
    gaps = {"journal": journal_gap, "index": index_gap}
    coverage = tuple(lossy(name, now - gap[0], now - gap[1]) for name, gap in gaps.items() if gap)
    refused, fewer = (fleet_of(uploads=uploads, responses=[("pi-1", 1, 412)] * count) for count in (3, 2))
    refused.coverage = fewer.coverage = coverage
    detector = FatalOnly(HostLimits(LIMITS))

    assert [finding.host for finding in detector.find(refused, now)] == ["pi-1"] * is_found
    assert list(detector.find(fewer, now)) == []
    assert detector.is_over(fewer, "pi-1", now) == is_over
