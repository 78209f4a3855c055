"""`receiver-failing`: enough hosts, and a large enough share of those that upload, got mostly 5xx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.receiver_failing import ReceiverFailing, ReceiverFailingLimits
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

WINDOW_US = 30 * 60 * SECOND_US
DETECTOR = ReceiverFailing(ReceiverFailingLimits(WINDOW_US, 3, 0.5, SuggestedFix("Mend it.")))

Hosts = list[list[tuple[int, int]]]
"""For each host, age and status of each answer."""
FAILS, WORKS = [(1, 500)], [(1, 201)]


def responses(hosts: Hosts) -> list[tuple[str, int, int]]:
    """Name the hosts."""
    return [(f"pi-{number}", age, status) for number, answers in enumerate(hosts) for age, status in answers]


@pytest.mark.parametrize(
    ("hosts", "is_found"),
    [
        pytest.param([], False, id="nobody uploads"),
        pytest.param([FAILS] * 2, False, id="all of two hosts are too few"),
        pytest.param([FAILS] * 3, True, id="all of three hosts"),
        pytest.param([FAILS] * 3 + [WORKS] * 3, True, id="exactly half of the hosts"),
        pytest.param([FAILS] * 3 + [WORKS] * 4, False, id="fewer than half"),
        pytest.param([FAILS] * 3 + [[(1, 412)]] * 4, False, id="who is refused for its own fault uploads as well"),
        pytest.param([FAILS] * 3 + [[(WINDOW_US + 1, 201)]] * 4, True, id="who uploaded before the window does not"),
        pytest.param([[(1, 500), (1, 201)]] * 3, False, id="half of a host's answers are not most"),
        pytest.param([[(1, 500), (1, 503), (1, 201)]] * 3, True, id="two thirds are, of any kind"),
        pytest.param([[(1, 412)]] * 9, False, id="4xx are the hosts' own"),
        pytest.param([[(1, 499), (1, 599), (1, 500)]] * 3, True, id="the first and the last status of 5xx"),
        pytest.param([[(WINDOW_US, 500)]] * 3, True, id="exactly at the window's beginning"),
        pytest.param([FAILS] * 2 + [[(WINDOW_US + 1, 500)]], False, id="one a microsecond before the window"),
        pytest.param([[(0, 500)]] * 3, True, id="exactly at now"),
        pytest.param([FAILS] * 2 + [[(-1, 500)]], False, id="one a microsecond after now"),
    ],
)
def test_many_hosts_with_mostly_5xx_are_a_finding(
    hosts: Hosts, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """It is about no single host, and there is at most one."""
    found = DETECTOR.find(fleet_of(responses=responses(hosts)), now)

    assert [finding.host for finding in found] == ["*"] * is_found


@pytest.mark.parametrize(("failing", "is_found"), [(2, False), (3, True)])
def test_strangers_that_are_refused_hide_it_from_nobody(
    failing: int, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Without them exactly min_hosts are enough, also if a stranger gets 5xx as well."""
    known = [(f"pi-{number}", 1, 500) for number in range(failing)]
    strangers = [("new-0", 1, 500), *((f"new-{number}", 1, 412) for number in range(1, 9))]
    fleet = fleet_of(uploads=[(host, 2 * WINDOW_US) for host, _, _ in known], responses=[*known, *strangers])

    assert [finding.host for finding in DETECTOR.find(fleet, now)] == ["*"] * is_found


def test_it_inhibits_the_hosts_that_got_mostly_5xx(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Exactly these hosts; it states how many of how many, and with which statuses."""
    hosts = [FAILS, [(1, 503), (1, 500)], [(1, 503), (2, 503), (3, 412)], WORKS, [(1, 412)]]

    assert list(DETECTOR.find(fleet_of(responses=responses(hosts), unstamped=[("pi-9", 1)]), now)) == [
        Finding(
            host="*",
            symptom="receiver-failing",
            detail="3 of 5 hosts that tried to upload in the last 30 min got mostly 5xx: 2 x 500, 3 x 503",
            suggested_fix="Mend it.",
            inhibits=frozenset(
                (host, symptom) for host in ("pi-0", "pi-1", "pi-2") for symptom in ("fatal-only", "degraded", "silent")
            ),
            since=now - 2,
        )
    ]


@pytest.mark.parametrize(
    ("gap", "is_seen"),
    [
        pytest.param((WINDOW_US + 2, WINDOW_US + 1), True, id="a gap before the window"),
        pytest.param((WINDOW_US + 2, WINDOW_US), False, id="a gap up to the window's beginning"),
        pytest.param((5, 4), False, id="a gap within"),
    ],
)
def test_what_was_not_seen_whole_is_neither_found_nor_over(
    gap: tuple[int, int], *, is_seen: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The missing responses may have been of either kind."""
    fleet = fleet_of(responses=responses([FAILS] * 3))
    well = fleet_of(responses=responses([WORKS] * 3))
    fleet.coverage = well.coverage = (Coverage("journal", gaps=(Gap(now - gap[0], now - gap[1], "lost"),)),)

    assert len(list(DETECTOR.find(fleet, now))) == is_seen
    assert DETECTOR.is_over(well, "*", now) == is_seen


@pytest.mark.parametrize(
    ("hosts", "is_over"),
    [
        pytest.param([], False, id="nobody uploads any more"),
        pytest.param([FAILS] * 2, False, id="too few upload to tell"),
        pytest.param([FAILS] * 2 + [WORKS], True, id="one is accepted"),
        pytest.param([FAILS] * 3 + [WORKS], False, id="one is accepted, and exactly min_hosts get mostly 5xx"),
        pytest.param([FAILS] * 3 + [WORKS] * 3, False, id="exactly half of the hosts still get mostly 5xx"),
        pytest.param([FAILS] * 3 + [WORKS] * 4, True, id="fewer than half of the hosts do"),
        pytest.param([[(WINDOW_US, 201)]], True, id="it was at the window's beginning"),
        pytest.param([[(WINDOW_US + 1, 201)]], False, id="it was before the window"),
    ],
)
def test_it_is_over_when_somebody_is_accepted(
    hosts: Hosts, *, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """That its failures are no longer visible is not enough."""
    assert DETECTOR.is_over(fleet_of(responses=responses(hosts)), "*", now) == is_over


@pytest.mark.parametrize(
    ("hosts", "age", "is_over"),
    [
        pytest.param([FAILS] * 2, WINDOW_US, True, id="a row at the window's beginning"),
        pytest.param([FAILS] * 2, WINDOW_US + 1, False, id="a row before the window"),
        pytest.param([FAILS] * 2, -1, False, id="a row that is dated ahead of the clock"),
        pytest.param([FAILS] * 3, 1, False, id="a row, and min_hosts still get mostly 5xx"),
    ],
)
def test_a_row_of_the_index_shows_an_accepted_upload_as_well(
    hosts: Hosts, age: int, *, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The journal may show refusals alone, for example because a proxy logs only those."""
    fleet = fleet_of(uploads=[("pi-9", age)], responses=responses(hosts))

    assert DETECTOR.is_over(fleet, "*", now) == is_over
    assert DETECTOR.sign_at(fleet, "*") == now - age


def test_the_reach_is_the_window() -> None:
    """Rows are not needed."""
    assert DETECTOR.lookback == Lookback(traffic_us=WINDOW_US)
