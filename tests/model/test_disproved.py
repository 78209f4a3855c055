"""Entries dated by a clock that was ahead do not count, whenever they are read."""

from __future__ import annotations

from fleet_health.model.disproved import MOST_DISPROVED, DisprovedEntries
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Response

NOW = 1_000 * HOUR_US


def response(at: int) -> Response:
    """Make the response of an entry."""
    return Response("a", at, 201)


def test_an_entry_ahead_of_a_right_clock_does_not_count_when_its_time_comes() -> None:
    """Nor after a restart. An entry that is written at that time does count."""
    before, ahead, beyond, later = map(response, (NOW, NOW + 1, NOW + HOUR_US + 1, NOW + 2))
    entries = DisprovedEntries()
    first = entries.left_out([before, ahead, beyond], NOW, NOW + HOUR_US)
    restarted = DisprovedEntries(entries.since(NOW))
    again = [one.left_out([before, ahead, later], NOW + 2 * HOUR_US, NOW + HOUR_US) for one in (entries, restarted)]

    assert first == [before, beyond]
    assert again == [[before, later]] * 2


def test_only_so_many_entries_are_remembered() -> None:
    """The latest ones are, until they are too old to be read again."""
    entries = DisprovedEntries()
    ahead = [response(NOW + number) for number in range(1, MOST_DISPROVED + 3)]
    entries.left_out(ahead, NOW, NOW + HOUR_US)

    assert entries.since(0) == [one.at for one in ahead[2:]]
    assert entries.since(ahead[-1].at) == [ahead[-1].at]
    assert entries.since(ahead[-1].at + 1) == entries.since(0) == []
