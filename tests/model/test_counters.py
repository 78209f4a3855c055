"""The counters as a document: counters with two labels are nested, and everything is sorted."""

from __future__ import annotations

import pytest

from fleet_health.model.counters import DURATIONS_US, Counters


def test_what_has_two_labels_is_nested_in_their_order() -> None:
    """The outer label comes first; a counter that never counted is empty."""
    counters = Counters(evaluations=2, evaluation_us=1_500_000)
    counters.rejections["journal", "too long"] += 1
    counters.rejections["index", "not JSON"] += 2
    counters.rejections["index", "no time"] += 3
    counters.read["journal"] += 4
    row = counters.row()

    assert list(row["rejections"].items()) == [("index", {"no time": 3, "not JSON": 2}), ("journal", {"too long": 1})]
    assert (row["read"], row["evaluations"], row["evaluation_s"]) == ({"journal": 4}, 2, 1.5)
    assert row["notifications"] == row["gaps"] == {}


@pytest.mark.parametrize(
    ("duration_us", "bucket"),
    [(0, 0), (5_000, 0), (5_001, 1), (10_000, 1), (30_000_000, -2), (30_000_001, -1)],
)
def test_an_evaluation_is_in_the_bucket_of_its_duration(duration_us: int, bucket: int) -> None:
    """Upper bounds are included; longer evaluations are in the last bucket."""
    counters = Counters()
    counters.note_evaluation(duration_us)

    assert counters.evaluations_by_duration[bucket] == 1
    assert sum(counters.evaluations_by_duration) == counters.evaluations == 1
    assert counters.evaluation_us == duration_us
    assert len(counters.evaluations_by_duration) == len(DURATIONS_US) + 1


def test_the_buckets_are_those_that_dashboards_ask_for() -> None:
    """The bounds are part of the metrics: changing them breaks queries and history."""
    seconds = [bound / 1_000_000 for bound in DURATIONS_US]

    assert seconds == [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
