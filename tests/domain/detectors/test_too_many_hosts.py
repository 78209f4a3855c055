"""`too-many-hosts`: hosts were left out within the last hour, because the tables are full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.domain.detectors.contract import Reach
from fleet_health.domain.detectors.too_many_hosts import TooManyHosts
from fleet_health.domain.instant import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.domain.fleet import Fleet
    from fleet_health.domain.instant import Instant


def words(count: int, host: str) -> str:
    """Expect a detail."""
    return (
        f"{count} observations of hosts beyond the limit of 2 were left out so far, the latest of {host};"
        " the hosts known before are watched as ever"
    )


@pytest.mark.parametrize(
    ("ships", "answers", "details"),
    [
        pytest.param([], [], [], id="an empty fleet has room"),
        pytest.param([("a", 1), ("b", 1), ("a", 0)], [], [], id="as many hosts as allowed are all watched"),
        pytest.param([("a", 1), ("b", 1), ("c", 0)], [], [words(1, "c")], id="one more is left out"),
        pytest.param([("a", 1), ("b", 1), ("c", HOUR_US)], [], [words(1, "c")], id="exactly an hour ago still counts"),
        pytest.param([("a", 1), ("b", 1), ("c", HOUR_US + 1)], [], [], id="a microsecond more is long ago"),
        pytest.param([("a", 1), ("b", 1)], [("c", 1), ("d", 1)], [], id="each table has its own limit"),
        pytest.param([], [("a", 1), ("b", 1), ("c", 2), ("d", 1)], [words(2, "d")], id="answers are left out likewise"),
        pytest.param(
            [("a", 1), ("b", 1), ("c", 3)],
            [("a", 1), ("b", 1), ("d", 2), ("d", 2)],
            [words(3, "d")],
            id="both tables together are one finding",
        ),
        pytest.param(
            [("a", 1), ("b", 1), ("late", 0), ("early", 9)], [], [words(2, "late")], id="the latest, not the last read"
        ),
    ],
)
def test_hosts_left_out_are_a_finding_for_an_hour(
    ships: list[tuple[str, int]],
    answers: list[tuple[str, int]],
    details: list[str],
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """It concerns no host in particular, and says how much was left out and whose was the latest."""
    fleet = fleet_of(host_limit=2, ships=ships, responses=[(host, age, 201) for host, age in answers])

    found = list(TooManyHosts().find(fleet, now))

    assert [(finding.host, finding.symptom, finding.detail) for finding in found] == [
        ("*", "too-many-hosts", detail) for detail in details
    ]


def test_it_looks_at_no_observation() -> None:
    """So it is judged whatever cannot be seen."""
    assert TooManyHosts().reach == Reach()
