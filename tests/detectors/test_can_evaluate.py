"""Which sources each detector must see to be evaluated."""

from __future__ import annotations

import pytest

from fleet_health.config.loading import load

ALWAYS = {"blind", "too-many-hosts"}
BY_INDEX = {"silent", "never-seen", "receiver-down"}
BY_JOURNAL = {"fatal-only", "unstamped", "unknown-hosts", "receiver-failing", "receiver-down"}
BY_BOTH = {"index-stalled", "journal-lossy"}


@pytest.mark.parametrize(
    ("seen", "evaluated"),
    [
        pytest.param([], ALWAYS, id="neither"),
        pytest.param(["index"], ALWAYS | BY_INDEX, id="the index"),
        pytest.param(["journal"], ALWAYS | BY_JOURNAL, id="the journal"),
        pytest.param(["index", "journal"], ALWAYS | BY_INDEX | BY_JOURNAL | BY_BOTH, id="both"),
    ],
)
def test_what_can_be_evaluated_by_what_is_seen(seen: list[str], evaluated: set[str]) -> None:
    """Either source can show that the receiver is down; a comparison of both needs both."""
    assert {detector.symptom for detector in load(None).detectors() if detector.can_evaluate(seen)} == evaluated
