"""`too-many-hosts`: hosts were left out within the last hour, because the tables are full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.spec import PRESENT, Lookback
from fleet_health.detectors.too_many_hosts import TooManyHosts, is_about_known_hosts
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Response, Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.instant import Instant


KNOWN = "; the hosts known before are still watched"


def uploads(count: str, host: str) -> str:
    """Expect what is said of the index's table."""
    return f"{count} of new hosts beyond the limit of 2 left out so far, the latest of {host}"


def strangers(times: str, host: str) -> str:
    """Expect what is said of the pool of those who are only refused."""
    return f"hosts that have never uploaded share 1 place: one was dropped for another {times} so far, last {host}"


@pytest.mark.parametrize(
    ("uploads", "refused", "details"),
    [
        pytest.param([], [], [], id="an empty fleet has room"),
        pytest.param([("a", 1), ("b", 1), ("a", 0)], [], [], id="as many hosts as allowed are all watched"),
        pytest.param([("a", 1), ("b", 1), ("c", 0)], [], [uploads("1 upload", "c")], id="one more is left out"),
        pytest.param(
            [("a", 1), ("b", 1), ("c", HOUR_US)], [], [uploads("1 upload", "c")], id="exactly an hour ago still counts"
        ),
        pytest.param([("a", 1), ("b", 1), ("c", HOUR_US + 1)], [], [], id="a microsecond more is long ago"),
        pytest.param([("a", 1), ("b", 1)], [("c", 1), ("c", 1)], [], id="one stranger has a place"),
        pytest.param([("a", 1), ("b", 1)], [("a", 1), ("b", 1), ("c", 1)], [], id="known hosts take no stranger's"),
        pytest.param([], [("a", 3), ("b", 2)], [strangers("once", "a")], id="a second stranger takes the first's"),
        pytest.param(
            [], [("a", 4), ("b", 3), ("c", 2), ("c", 1)], [strangers("2 times", "b")], id="each new one takes another's"
        ),
        pytest.param([], [("a", HOUR_US + 2), ("b", HOUR_US + 1)], [], id="a place lost long ago is of no matter"),
        pytest.param(
            [("a", 1), ("b", 1), ("c", 3), ("d", 2)],
            [("e", 2), ("f", 1)],
            [f"{uploads('2 uploads', 'd')}; {strangers('once', 'e')}"],
            id="both tables together are one finding",
        ),
        pytest.param(
            [("a", 1), ("b", 1), ("late", 0), ("early", 9)],
            [],
            [uploads("2 uploads", "late")],
            id="the latest, not the last read",
        ),
    ],
)
def test_hosts_left_out_are_a_finding_for_an_hour(
    uploads: list[tuple[str, int]],
    refused: list[tuple[str, int]],
    details: list[str],
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """It is about no single host, and states what is full, how many were left out, and the latest one."""
    fleet = fleet_of(host_limit=2, uploads=uploads, responses=[(host, age, 412) for host, age in refused])

    found = list(TooManyHosts().find(fleet, now))

    assert [(finding.host, finding.symptom, finding.detail) for finding in found] == [
        ("*", "too-many-hosts", detail + KNOWN) for detail in details
    ]


def test_it_looks_at_no_observation() -> None:
    """So it can be evaluated whatever else cannot be seen."""
    assert TooManyHosts().lookback == Lookback()


def test_it_is_over_when_it_is_not_found(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """The evaluation itself shows that no host was left out for an hour; no setting decides."""
    detector = TooManyHosts()

    assert detector.is_over(fleet_of(), "*", now)
    assert detector.sign_at(fleet_of(), "*") == PRESENT
    assert detector.limits_of("*") == ""


@pytest.mark.parametrize(
    ("rows", "accepted", "new"),
    [
        pytest.param([], ["old", "new", "late"], {"new"}, id="by the journal"),
        pytest.param(["old", "new", "late"], [], {"new"}, id="by the index"),
        pytest.param(["new"], ["old", "new", "late"], set(), id="of whom there is a row, by the journal"),
        pytest.param([], ["old", "expected", "late"], set(), id="an expected one"),
    ],
)
def test_hosts_that_turned_up_while_a_table_filled_are_inhibited(
    rows: list[str], accepted: list[str], new: set[str], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Such a host may be an invented name, so it has no alert of its own."""
    fleet = fleet_of(host_limit=2)
    fleet.register.expect(["expected"])
    for table, hosts in ((fleet.uploads, rows), (fleet.traffic.accepted, accepted)):
        for host in hosts:
            table.notes_newcomers = host != "old"
            table.record([Upload(host, now)])

    inhibited = {host for finding in TooManyHosts().find(fleet, now) for host, _ in finding.inhibits}

    assert inhibited == new


@pytest.mark.parametrize(("age_us", "is_recent"), [(HOUR_US, True), (HOUR_US + 1, False)])
def test_hosts_that_upload_or_may_be_expected_are_more_than_strangers(
    age_us: int, now: Instant, *, is_recent: bool
) -> None:
    """One of them must have been left out in the last hour; strangers never uploaded and are not expected."""
    uploading, expected, strange = (Fleet(1, expected=["x-*"]) for _ in range(3))
    uploading.uploads.record([Upload("a", now), Upload("b", now - age_us)])
    expected.traffic.record([Response("x-1", now - age_us - 1, 412), Response("x-2", now - age_us, 412)])
    strange.traffic.record([Response(f"s-{number}", now - age_us, 412) for number in range(10)])

    assert is_about_known_hosts(uploading, now) == is_recent
    assert is_about_known_hosts(expected, now) == is_recent
    assert not is_about_known_hosts(strange, now)
