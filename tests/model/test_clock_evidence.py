"""Whether the clock can be right, by our own records."""

from __future__ import annotations

import pytest

from fleet_health.model.clock_evidence import (
    ALERT_LOG,
    BEHIND_LIMIT_US,
    INDEX,
    JOURNAL,
    SAVED_STATE,
    contradiction,
    credible,
)

NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param({}, None, id="nothing was ever written"),
        pytest.param({JOURNAL: None, SAVED_STATE: None}, None, id="nothing is known of when it was"),
        pytest.param({JOURNAL: NOON, INDEX: NOON - 1}, None, id="all of it lies in the past"),
        pytest.param({JOURNAL: NOON + BEHIND_LIMIT_US}, None, id="exactly the limit ahead"),
        pytest.param({JOURNAL: NOON + BEHIND_LIMIT_US + 1}, JOURNAL, id="a microsecond more"),
        pytest.param({ALERT_LOG: NOON - 1, INDEX: NOON + 2 * BEHIND_LIMIT_US}, INDEX, id="one is enough"),
        pytest.param({JOURNAL: NOON + 10**9, SAVED_STATE: NOON + 2 * 10**9}, SAVED_STATE, id="the furthest is named"),
    ],
)
def test_a_record_ahead_of_the_clock_contradicts_it(records: dict[str, int | None], expected: str | None) -> None:
    """If it is more than one minute ahead."""
    found = contradiction(records, NOON)

    assert (None if found is None else found.record) == expected


def test_a_contradiction_says_by_how_much() -> None:
    """It states the difference and the time of the record."""
    found = contradiction({SAVED_STATE: NOON + 20 * BEHIND_LIMIT_US}, NOON)

    assert str(found) == "20 min behind the saved state, which goes up to 2026-11-23T12:20:00Z"


def test_what_a_clock_that_was_ahead_has_stamped_is_no_evidence() -> None:
    """Records up to the disproved instant are ignored; later ones and unknown ones count."""
    records = {JOURNAL: NOON, INDEX: NOON + 1, ALERT_LOG: NOON - 1, SAVED_STATE: None}

    assert credible(records, NOON) == {INDEX: NOON + 1, SAVED_STATE: None}
