"""The hours whose dedup keys are kept."""

from __future__ import annotations

import pytest

from fleet_health.alerting.alert import dedup_key
from fleet_health.alerting.dedup_keys import DedupKeys
from fleet_health.model.instant import HOUR_US

NOW = 1_795_435_200_000_000 + HOUR_US // 2
SILENT = ("pi-1", "silent")


@pytest.mark.parametrize(
    ("hours", "is_kept"), [(-26, False), (-25, True), (-1, True), (0, True), (1, True), (25, True), (26, False)]
)
def test_the_hours_of_a_day_and_one_more_are_remembered(hours: int, *, is_kept: bool) -> None:
    """Keys of 25 hours before and after the present are kept, for a clock that is set back."""
    keys, at = DedupKeys(), NOW + hours * HOUR_US
    keys.add(dedup_key(*SILENT, at), at)

    keys.prune(NOW)

    assert keys.has(SILENT, at) == is_kept


def test_a_copy_does_not_change_with_its_original() -> None:
    """A copy is independent of its original."""
    keys = DedupKeys()
    keys.add(dedup_key(*SILENT, NOW), NOW)
    copied = keys.copy()
    keys.add(dedup_key("pi-2", "silent", NOW), NOW)

    assert copied.has(SILENT, NOW)
    assert not copied.has(("pi-2", "silent"), NOW)
