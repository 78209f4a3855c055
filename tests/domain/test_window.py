"""Windows count as one would by hand, in whatever order the events come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_health.domain.window import HostWindow, Timeline

PROPERTY = settings(deadline=None, max_examples=200)
INSTANTS = st.integers(-30, 30) | st.integers(-(2**62), 2**62)
EVENTS = st.lists(INSTANTS, max_size=40)


def timeline_of(events: list[int]) -> Timeline:
    """Make a timeline of events that arrive in the order given."""
    timeline = Timeline()
    for at in events:
        timeline.add(at)
    return timeline


@PROPERTY
@given(events=EVENTS, since=INSTANTS, until=INSTANTS)
def test_a_timeline_counts_as_by_hand(events: list[int], since: int, until: int) -> None:
    """The count is that of the events between both ends, which belong to it, in any order of arrival."""
    since, until = sorted((since, until))

    assert timeline_of(events).count(since, until) == sum(since <= at <= until for at in events)


@PROPERTY
@given(events=EVENTS, before=INSTANTS)
def test_eviction_forgets_exactly_what_is_older(events: list[int], before: int) -> None:
    """What was before the instant is gone, and nothing else is."""
    timeline = timeline_of(events)

    timeline.evict(before)

    assert len(timeline) == sum(at >= before for at in events)


@PROPERTY
@given(events=EVENTS, late=EVENTS, before=INSTANTS, since=INSTANTS, until=INSTANTS)
def test_eviction_changes_no_later_count(
    events: list[int], late: list[int], before: int, since: int, until: int
) -> None:
    """A stretch that begins at or after the eviction counts the same, also with what arrives after it."""
    before, since, until = sorted((before, since, until))
    evicted = timeline_of(events)

    evicted.evict(before)
    for at in late:
        evicted.add(at)

    assert evicted.count(since, until) == timeline_of(events + late).count(since, until)


ANSWERS = st.lists(st.tuples(INSTANTS, st.sampled_from([200, 201, 404, 412, 500, 503])), max_size=30)


@PROPERTY
@given(answers=ANSWERS, since=INSTANTS, until=INSTANTS, before=INSTANTS)
def test_a_host_window_counts_each_status_as_by_hand(
    answers: list[tuple[int, int]], since: int, until: int, before: int
) -> None:
    """Each status that occurs between both ends is counted, in ascending order, after any eviction up to there."""
    before, since, until = sorted((before, since, until))
    window = HostWindow()
    for at, status in answers:
        window.add_response(at, status)

    window.evict(before)

    inside = [status for at, status in answers if since <= at <= until]
    assert list(window.count_by_status(since, until).items()) == [
        (status, inside.count(status)) for status in sorted(set(inside))
    ]


@PROPERTY
@given(answers=ANSWERS, unstamped=EVENTS, before=INSTANTS)
def test_a_host_window_says_when_it_is_empty(answers: list[tuple[int, int]], unstamped: list[int], before: int) -> None:
    """Eviction tells that nothing is left, neither an answer nor an unstamped rejection."""
    window = HostWindow()
    for at, status in answers:
        window.add_response(at, status)
    for at in unstamped:
        window.unstamped.add(at)

    is_empty = window.evict(before)

    assert is_empty == all(at < before for at in [*unstamped, *(at for at, _ in answers)])
