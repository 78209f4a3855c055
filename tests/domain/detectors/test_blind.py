"""`blind`: a source could not be read for longer than allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.domain.coverage import Coverage
from fleet_health.domain.detectors.blind import Blind
from fleet_health.domain.detectors.contract import Reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.domain.fleet import Fleet
    from fleet_health.domain.instant import Instant

MINUTE_US = 60_000_000
AFTER_US = 15 * MINUTE_US


@pytest.mark.parametrize(
    ("unseen", "details"),
    [
        pytest.param({}, [], id="without sources there is nothing to see"),
        pytest.param({"index": None, "journal": None}, [], id="both are seen"),
        pytest.param({"index": 0}, [], id="unseen from this instant on"),
        pytest.param({"index": AFTER_US}, [], id="unseen for exactly as long as allowed"),
        pytest.param(
            {"index": AFTER_US + 1, "journal": None},
            ["cannot read the index for 15 min (why index)"],
            id="a microsecond longer is a finding",
        ),
        pytest.param(
            {"index": AFTER_US + 1, "journal": AFTER_US},
            ["cannot read the index for 15 min (why index)"],
            id="each source by its own time",
        ),
        pytest.param(
            {"index": 16 * MINUTE_US, "journal": 17 * MINUTE_US},
            ["cannot read the index for 16 min (why index), nor the journal for 17 min (why journal)"],
            id="both sources together are one finding",
        ),
    ],
)
def test_a_source_unseen_for_too_long_is_a_finding(
    unseen: dict[str, int | None], details: list[str], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """It concerns no host in particular, and says which source is away, for how long, and why."""
    fleet = fleet_of()
    fleet.coverage = tuple(
        Coverage(source) if age is None else Coverage(source, now - age, f"why {source}")
        for source, age in unseen.items()
    )

    found = list(Blind(AFTER_US).find(fleet, now))

    assert [(finding.host, finding.symptom, finding.detail) for finding in found] == [
        ("*", "blind", detail) for detail in details
    ]


def test_it_looks_at_no_observation() -> None:
    """So it is judged whatever cannot be seen."""
    assert Blind(AFTER_US).reach == Reach()
