"""Windows count as one would by hand, in whatever order the events come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_health.domain.window import Counts, HostWindow

PROPERTY = settings(deadline=None, max_examples=300)
# Near each other, and as far apart as times can be.
INSTANTS = st.integers(-30, 30) | st.integers(-(2**51), 2**51)
UNSTAMPED = None
EVENTS = st.lists(
    st.tuples(INSTANTS, st.sampled_from([UNSTAMPED, 200, 201, 299, 400, 412, 499, 500, 503, 599])), max_size=40
)

Events = list[tuple[int, int | None]]


def add(window: HostWindow, events: Events) -> None:
    """Let events arrive in the order given."""
    for at, status in events:
        if status is UNSTAMPED:
            window.add_unstamped(at)
        else:
            window.add_response(at, status)


def window_of(events: Events) -> HostWindow:
    """Make a window of events."""
    window = HostWindow()
    add(window, events)
    return window


def counted(events: Events, since: int, until: int) -> Counts:
    """Count by hand."""
    inside = [status for at, status in events if since <= at <= until]
    by_class = [sum(status is not None and status // 100 == one for status in inside) for one in (2, 4, 5)]
    accepted, client_errors, server_errors = by_class
    return Counts(accepted, client_errors, server_errors, inside.count(UNSTAMPED))


@PROPERTY
@given(events=EVENTS, late=EVENTS, before=INSTANTS, since=INSTANTS, until=INSTANTS)
def test_a_window_counts_as_by_hand(events: Events, late: Events, before: int, since: int, until: int) -> None:
    """Both ends belong to it, in any order of arrival; nor does it matter what was forgotten that lies before."""
    before, since, until = sorted((before, since, until))
    window = window_of(events)

    window.evict(before)
    add(window, late)

    everything = events + late
    assert window.count(since, until) == counted(everything, since, until)
    statuses = [status for at, status in everything if since <= at <= until and status is not None]
    assert list(window.count_by_status(since, until).items()) == [
        (status, statuses.count(status)) for status in sorted(set(statuses))
    ]


@PROPERTY
@given(events=EVENTS, before=INSTANTS)
def test_eviction_forgets_exactly_what_is_older(events: Events, before: int) -> None:
    """What was before the instant is gone, and nothing else is."""
    window = window_of(events)

    window.evict(before)

    assert len(window) == sum(at >= before for at, _ in events)


@PROPERTY
@given(events=EVENTS, at=INSTANTS)
def test_the_first_and_the_last_of_a_kind_are_found(events: Events, at: int) -> None:
    """From an instant on, and up to it; it belongs to both."""
    window = window_of(events)
    refused = [when for when, status in events if status is not None and status >= 400]
    unstamped = [when for when, status in events if status is UNSTAMPED]

    assert window.earliest((4, 5), at) == min((when for when in refused if when >= at), default=None)
    assert window.latest((4, 5), at) == max((when for when in refused if when <= at), default=None)
    assert window.earliest_unstamped(at) == min((when for when in unstamped if when >= at), default=None)
