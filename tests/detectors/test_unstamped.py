"""`unstamped`, against the rule: at least `min_count` unstamped rejections in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import Unstamped, UnstampedLimits
from fleet_health.model.instant import HOUR_US, SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

WINDOW_US = 30 * 60 * SECOND_US
LIMITS = UnstampedLimits(WINDOW_US, 3, SuggestedFix("Stamp $host."))


@pytest.mark.parametrize(
    ("ages", "is_found"),
    [
        pytest.param([], False, id="no rejection is no finding"),
        pytest.param([1, 2], False, id="one fewer than min_count is no finding"),
        pytest.param([1, 2, 3], True, id="exactly min_count is a finding"),
        pytest.param([1, 1, 1, 1], True, id="several at one instant count each"),
        pytest.param([WINDOW_US] * 3, True, id="exactly at the window's beginning counts"),
        pytest.param([WINDOW_US + 1] * 3, False, id="a microsecond before the window does not count"),
        pytest.param([0] * 3, True, id="exactly at now counts"),
        pytest.param([-1] * 3, False, id="a microsecond after now has not happened yet"),
        pytest.param([0, WINDOW_US, WINDOW_US + 1], False, id="two inside and one just outside are too few"),
        pytest.param([0, WINDOW_US, WINDOW_US // 2], True, id="both ends belong to the window"),
    ],
)
def test_enough_unstamped_rejections_are_a_finding(
    ages: list[int], *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If the window has enough of them, to the microsecond."""
    fleet = fleet_of(unstamped=[("pi-1", age) for age in ages])

    assert [finding.host for finding in Unstamped(HostLimits(LIMITS)).find(fleet, now)] == ["pi-1"] * is_found


@pytest.mark.parametrize(
    ("ages", "is_over"),
    [
        pytest.param([], True, id="there are none any more"),
        pytest.param([1, 2], True, id="one fewer than min_count"),
        pytest.param([1, 2, 3], False, id="exactly min_count"),
        pytest.param([WINDOW_US] * 3, False, id="exactly at the window's beginning"),
        pytest.param([WINDOW_US + 1, 1, 2], True, id="one of three is just outside"),
        pytest.param([-1, 1, 2], False, id="one that is dated ahead of the clock counts"),
    ],
)
def test_it_is_over_when_the_rejections_have_become_too_few(
    ages: list[int], *, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Below min_count, and not one rejection earlier."""
    fleet = fleet_of(unstamped=[("pi-1", age) for age in ages])

    assert Unstamped(HostLimits(LIMITS)).is_over(fleet, "pi-1", now) == is_over


@pytest.mark.parametrize(
    ("ages", "proof_us"),
    [
        pytest.param([], 0, id="no refusal"),
        pytest.param([WINDOW_US + 1], 0, id="the last one just left the window"),
        pytest.param([WINDOW_US], 24 * HOUR_US, id="one at its beginning"),
        pytest.param([-1], 24 * HOUR_US, id="one that is dated ahead of the clock"),
    ],
)
def test_a_count_that_only_dips_shows_no_recovery(
    ages: list[int], proof_us: int, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """While stamps are missing, the count must be low for a day, because only one of two workers may lack them."""
    fleet = fleet_of(unstamped=[("pi-1", age) for age in ages])

    assert Unstamped(HostLimits(LIMITS)).proof_us(fleet, "pi-1", now) == proof_us


def test_successes_do_not_make_up_for_unstamped_rejections(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Access lines neither add to the count nor prevent the finding."""
    fleet = fleet_of(
        unstamped=[("pi-1", 1)] * 3 + [("pi-2", 1)] * 2,
        responses=[("pi-1", 1, 201)] * 9 + [("pi-2", 1, 412)] * 9,
    )

    assert [finding.host for finding in Unstamped(HostLimits(LIMITS)).find(fleet, now)] == ["pi-1"]


def test_a_finding_carries_the_figures_and_the_fix(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """What is found says how many, over which time, and what to do."""
    fleet = fleet_of(unstamped=[("pi-1", 1)] * 4)

    assert list(Unstamped(HostLimits(LIMITS)).find(fleet, now)) == [
        Finding(
            host="pi-1",
            symptom="unstamped",
            detail="4 refusals in the last 30 min because an upload carries no code stamp",
            suggested_fix="Stamp pi-1.",
            since=now - 1,
        )
    ]


def test_an_empty_fleet_has_nobody_unstamped(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """There is no finding without hosts."""
    assert list(Unstamped(HostLimits(LIMITS)).find(fleet_of(), now)) == []


def test_each_host_is_evaluated_by_its_own_limits(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Hosts that an override names have its limits, the others the default ones."""
    overrides = [Override("bench-*", {"window_us": HOUR_US, "min_count": 5}), Override("bench-1", {"min_count": 1})]
    refused = {"pi-1": (WINDOW_US + 1, 9), "pi-2": (1, 3), "bench-1": (HOUR_US, 1), "bench-2": (HOUR_US, 4)}
    fleet = fleet_of(unstamped=[(host, age) for host, (age, count) in refused.items() for _ in range(count)])

    found = Unstamped(HostLimits(LIMITS, overrides)).find(fleet, now)

    assert [finding.host for finding in found] == ["pi-2", "bench-1"]


def test_the_reach_is_the_longest_window() -> None:
    """The journal must be known as far back as the longest window of any host; rows are not needed."""
    overrides = [Override("a*", {"window_us": 2 * HOUR_US}), Override("b*", {"window_us": 1})]

    assert Unstamped(HostLimits(LIMITS)).lookback == Lookback(traffic_us=WINDOW_US)
    assert Unstamped(HostLimits(LIMITS, overrides)).lookback == Lookback(traffic_us=2 * HOUR_US)
