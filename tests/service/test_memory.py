"""When the state is saved."""

from __future__ import annotations

from fleet_health.alerting.incident import Incident, Snapshot
from fleet_health.model.fleet import Fleet
from fleet_health.service.memory import SavedState, Saving

SECOND = 1_000_000


def memory(at: int, *incidents: Incident) -> SavedState:
    """Make a state."""
    return SavedState(incidents=Snapshot(at=at, open=list(incidents)), journal_seen_until=at)


def test_the_state_is_saved_when_it_changes_and_else_once_a_minute() -> None:
    """That time goes on is no change; a clock that is set back does not stop it."""
    saving = Saving()
    one = Incident("a", "silent", 0)
    states = [
        (memory(0), 0),
        (memory(1), SECOND),
        (memory(2, one), 2 * SECOND),
        (memory(3, one), 62 * SECOND - 1),
        (memory(4, one), 62 * SECOND),
        (memory(5, one), 30 * SECOND),
    ]

    assert [saving.due(state, now, Fleet()) is not None for state, now in states] == [
        True,
        False,
        True,
        False,
        True,
        True,
    ]
