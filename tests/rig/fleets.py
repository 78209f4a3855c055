"""What the core's tests share: fleets made of ages, which is how the rules speak of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from fleet_health.model.fleet import HOST_LIMIT, Fleet
from fleet_health.model.observation import Response, Unstamped, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.instant import Instant


@pytest.fixture(scope="session")
def now() -> Instant:
    """Return the instant of the evaluations: 2026-11-23T18:55:00Z."""
    return 1_795_460_100_000_000


@pytest.fixture(scope="session")
def fleet_of(now: Instant) -> Callable[..., Fleet]:
    """Make fleets from what happened how long ago, in microseconds."""

    def make(
        *,
        uploads: Iterable[tuple[str, int]] = (),
        responses: Iterable[tuple[str, int, int]] = (),
        unstamped: Iterable[tuple[str, int]] = (),
        host_limit: int = HOST_LIMIT,
        ignored: HostGlobs | None = None,
    ) -> Fleet:
        fleet = Fleet(host_limit, ignored)
        fleet.uploads.record([Upload(host, now - age) for host, age in uploads])
        fleet.traffic.record([Response(host, now - age, status) for host, age, status in responses])
        fleet.traffic.record([Unstamped(host, now - age) for host, age in unstamped])
        return fleet

    return make


@pytest.fixture(scope="session")
def evaluation_of(now: Instant) -> Callable[..., Evaluation]:
    """Make evaluations from pairs of host and symptom, as if all had been found."""

    def make(*found: tuple[str, str], at: Instant = now) -> Evaluation:
        findings = (Finding(host, symptom, f"detail of {host}", f"fix of {host}") for host, symptom in found)
        return Evaluation(at, tuple(findings))

    return make
