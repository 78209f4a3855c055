"""The symptoms that a detector declares to inhibit are those that its findings inhibit."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.loading import load
from fleet_health.detectors import receiver_down, receiver_failing, too_many_hosts, unknown_hosts
from fleet_health.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.detectors.spec import DetectorSpec
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE = 60_000_000
FOUND: dict[str, dict[str, Any]] = {
    receiver_down.SYMPTOM: {"uploads": [(f"h{number}", 40 * MINUTE + number) for number in range(5)]},
    receiver_failing.SYMPTOM: {
        "uploads": [(f"h{number}", 40 * MINUTE) for number in range(4)],
        "responses": [(f"h{number}", age * MINUTE, 503) for number in range(4) for age in range(1, 13)],
    },
    unknown_hosts.SYMPTOM: {
        "responses": [(f"h{number}", age * MINUTE, 412) for number in range(12) for age in range(1, 13)],
        "unstamped": [(f"h{number}", age * MINUTE) for number in range(12) for age in range(1, 13)],
    },
    too_many_hosts.SYMPTOM: {"uploads": [(f"h{number}", 40 * MINUTE) for number in range(12)], "host_limit": 10},
}
"""Symptom -> a fleet of which it is found."""


@pytest.mark.parametrize("spec", DETECTORS, ids=lambda spec: spec.symptom)
def test_its_findings_inhibit_what_it_declares(
    spec: DetectorSpec, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Exactly these symptoms."""
    if spec.symptom not in FOUND:
        assert spec.inhibits == ()
        assert "inhibits=" not in inspect.getsource(sys.modules[spec.build.__module__])
        return
    (detector,) = (one for one in load(None).detectors() if one.symptom == spec.symptom)
    fleet = fleet_of(**FOUND[spec.symptom])
    fleet.uploads.newcomers = dict(fleet.uploads.items())
    (finding,) = detector.find(fleet, now)

    assert {symptom for _, symptom in finding.inhibits} == set(spec.inhibits)
