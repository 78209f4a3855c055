"""A stretch of the past in bins: what falls into which, and what is left out."""

from __future__ import annotations

import pytest

from fleet_health.replay.timeline import KINDS, Timeline

UPLOADS = KINDS.index("uploads")


@pytest.mark.parametrize(
    ("at", "expected"),
    [(99, None), (100, 0), (109, 0), (110, 1), (199, 9), (200, 9), (201, None)],
)
def test_an_instant_belongs_to_one_bin(at: int, expected: int | None) -> None:
    """Both ends of the stretch are in it; what lies outside is not counted, nor is its host known."""
    timeline = Timeline(100, 200, 10)
    timeline.add("a", UPLOADS, at)
    found = [number for number, count in enumerate(timeline.counts["a"][UPLOADS]) if count] if timeline.counts else []

    assert found == ([] if expected is None else [expected])


def test_kinds_are_counted_apart_up_to_a_limit() -> None:
    """More than that nobody can see."""
    timeline = Timeline(0, 10, 1)
    for _ in range(300):
        timeline.add("a", UPLOADS, 5)
    timeline.add("a", KINDS.index("unstamped"), 5)

    assert [counts[0] for counts in timeline.counts["a"]] == [255, 0, 0, 0, 1]
