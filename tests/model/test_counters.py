"""The counters as a document: what has two labels is nested, and everything is in order."""

from __future__ import annotations

from fleet_health.model.counters import Counters


def test_what_has_two_labels_is_nested_in_their_order() -> None:
    """The outer label first; a counter that never counted is empty."""
    counters = Counters(evaluations=2, evaluation_us=1_500_000)
    counters.rejections["journal", "too long"] += 1
    counters.rejections["index", "not JSON"] += 2
    counters.rejections["index", "no time"] += 3
    counters.read["journal"] += 4
    row = counters.row()

    assert list(row["rejections"].items()) == [("index", {"no time": 3, "not JSON": 2}), ("journal", {"too long": 1})]
    assert (row["read"], row["evaluations"], row["evaluation_s"]) == ({"journal": 4}, 2, 1.5)
    assert row["notifications"] == row["gaps"] == {}
