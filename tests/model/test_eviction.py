"""Which hosts a fleet forgets when limits are learned. What goes by time alone is tested with the tables."""

from __future__ import annotations

import pytest

from fleet_health.model.cadence import Cadence
from fleet_health.model.eviction import evict
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Upload


@pytest.mark.parametrize(
    ("is_settled", "kept"),
    [
        pytest.param(False, ["at its limit"], id="at the first evaluation, nothing has watched them before"),
        pytest.param(True, ["at its limit", "beyond"], id="later, an open incident may be about them"),
    ],
)
def test_hosts_that_their_own_limit_does_not_watch_are_forgotten_once(kept: list[str], *, is_settled: bool) -> None:
    """A host is watched for as long as its own limit demands after its last upload, to the instant."""
    fleet = Fleet()
    fleet.cadence = Cadence(10)
    fleet.cadence.is_settled = is_settled or fleet.cadence.is_settled
    fleet.watched_us = lambda _, __: 50
    fleet.record_uploads("", [Upload("at its limit", 50), Upload("beyond", 49)])

    evict(fleet, uploads_before=0, traffic_before=0, now=100)

    assert [host for host, _ in fleet.latest_uploads()] == kept
    assert fleet.cadence.is_settled
