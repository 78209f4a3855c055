"""The delays before a failed operation is retried."""

from __future__ import annotations

from fleet_health.model.backoff import Backoff


def test_waits_double_from_a_second_up_to_a_minute() -> None:
    """The delay never exceeds one minute, however often the operation fails."""
    backoff, waits = Backoff(), []
    for _ in range(9):
        waits.append(backoff.wait_s)
        backoff.grow()

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_after_a_success_the_next_failure_waits_a_second_again() -> None:
    """A failure before the last success does not lengthen the next delay."""
    backoff = Backoff()
    backoff.grow()
    backoff.reset()

    assert backoff.wait_s == 1
