"""Inhibition after the end of a cause, and how causes name their effects."""

from __future__ import annotations

import pytest

from fleet_health.alerting.inhibition import Inhibition

NOW, TICK = 1_000, 100
SILENT = ("a", "silent")


@pytest.mark.parametrize(
    ("until", "is_inhibited"),
    [
        pytest.param(NOW, False, id="it has been long enough, exactly"),
        pytest.param(NOW + 1, True, id="it has not"),
        pytest.param(NOW + TICK, True, id="for a whole tick more"),
        pytest.param(NOW + TICK + 1, False, id="no longer than that: the clock was set back"),
    ],
)
def test_what_outlives_its_cause_is_inhibited_for_a_while(until: int, *, is_inhibited: bool) -> None:
    """Effects stay inhibited until an instant at most a tick ahead."""
    inhibition = Inhibition({SILENT: until})

    inhibition.prune(NOW, TICK)

    assert (SILENT in inhibition.effects_of(())) == is_inhibited


def test_a_cause_that_has_ended_inhibits_for_half_a_tick() -> None:
    """At the next evaluation, effects that are still open have another cause."""
    inhibition = Inhibition()

    inhibition.release([SILENT], NOW, TICK)

    assert inhibition.released == {SILENT: NOW + TICK // 2}


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, ""),
        (1, "; inhibits 1 alert: h00 silent"),
        (10, "; inhibits 10 alerts: " + ", ".join(f"h{number:02} silent" for number in range(10))),
        (11, "; inhibits 11 alerts: " + ", ".join(f"h{number:02} silent" for number in range(10)) + " and 1 more"),
    ],
)
def test_ten_of_what_is_inhibited_are_named(count: int, words: str) -> None:
    """At most ten effects are named, and the others are counted."""
    pairs = [(f"h{number:02}", "silent") for number in range(count)]
    inhibition = Inhibition()
    inhibition.update([pairs], [pairs])

    assert inhibition.named(pairs) == words
