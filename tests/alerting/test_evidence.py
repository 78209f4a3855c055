"""The evidence about a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.evidence import Evidence, evidence_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE = 60_000_000


def test_of_a_host_that_only_uploaded_its_last_upload_is_known(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Only the last upload is known; of an unknown host there is no evidence."""
    fleet = fleet_of(uploads=[("a", 40 * MINUTE)])

    assert evidence_of(fleet, "a", now) == Evidence(last_good_at=now - 40 * MINUTE)
    assert evidence_of(fleet, "b", now) == Evidence()


def test_what_went_wrong_is_counted_from_what_went_well(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """The first refusal is the first after the last accepted upload in either source."""
    fleet = fleet_of(
        uploads=[("a", 20 * MINUTE)],
        responses=[
            ("a", age * MINUTE, status) for age, status in ((29, 412), (25, 201), (20, 412), (15, 412), (10, 503))
        ],
        unstamped=[("a", 12 * MINUTE)],
    )

    assert evidence_of(fleet, "a", now) == Evidence(
        last_good_at=now - 20 * MINUTE,
        first_bad_at=now - 15 * MINUTE,
        counts={201: 1, 412: 3, 503: 1},
        unstamped=1,
        reason="412",
    )


def test_a_success_in_the_journal_alone_is_one(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """An accepted response in the journal counts even without a row in the index."""
    fleet = fleet_of(responses=[("a", 3, 200), ("a", 2, 500)])

    evidence = evidence_of(fleet, "a", now)

    assert (evidence.last_good_at, evidence.first_bad_at, evidence.reason) == (now - 3, now - 2, "500")


@pytest.mark.parametrize(
    ("refusals", "unstamped", "reason"),
    [
        ([], 0, ""),
        ([412], 0, "412"),
        ([412, 503, 503], 0, "503"),
        ([400, 400], 1, "400"),
        ([400, 400, 400], 2, "unstamped"),
        ([], 1, "unstamped"),
    ],
)
def test_the_reason_is_what_most_refusals_have(
    refusals: list[int], unstamped: int, reason: str, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The reason is `unstamped` if more than half of the refusals have a warning of a missing stamp."""
    fleet = fleet_of(responses=[("a", 1, status) for status in [*refusals, 201]], unstamped=[("a", 1)] * unstamped)

    assert evidence_of(fleet, "a", now).reason == reason


def test_what_is_dated_ahead_of_the_clock_does_not_count(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """An earlier accepted upload is used instead, if there is one."""
    fleet = fleet_of(responses=[("a", 9, 201), ("a", -1, 201), ("b", -1, 201), ("c", 5, 412), ("c", 3, 412)])

    good = [evidence_of(fleet, host, now).last_good_at for host in "abc"]

    assert good == [now - 9, None, None]
    assert evidence_of(fleet, "c", now).first_bad_at == now - 5
