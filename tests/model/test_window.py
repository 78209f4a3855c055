"""Windows count exactly, in whatever order the events come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import SECOND_US
from fleet_health.model.window import EXACT_EVENTS, FEWEST_EVENTS, NEVER, Counts, HostWindow
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Iterable

PROPERTY = tried(300)
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
    """Both ends are included, in any order of arrival, whatever earlier events were forgotten."""
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
    """Events before the instant are gone, and no others."""
    window = window_of(events)

    window.evict(before)

    assert len(window) == sum(at >= before for at, _ in events)


@PROPERTY
@given(events=EVENTS, at=INSTANTS)
def test_the_first_and_the_last_of_a_kind_are_found(events: Events, at: int) -> None:
    """From an instant on and up to an instant, both inclusive."""
    window = window_of(events)
    refused = [when for when, status in events if status is not None and status >= 400]
    unstamped = [when for when, status in events if status is UNSTAMPED]

    assert window.earliest((4, 5), at) == min((when for when in refused if when >= at), default=None)
    assert window.latest((4, 5), at) == max((when for when in refused if when <= at), default=None)
    assert window.earliest_unstamped(at) == min((when for when in unstamped if when >= at), default=None)


MANY = st.lists(
    st.tuples(st.integers(0, 40_000_000), st.sampled_from([UNSTAMPED, 200, 412, 503])), min_size=1, max_size=60
)
STRETCH = st.integers(-3_000_000, 43_000_000)


def counted_in_steps(events: Events, window: HostWindow, since: int, until: int) -> tuple[Counts, Counts]:
    """Return the least and the most that may be counted: by hand, and in a stretch longer by a step at both ends."""
    slack = max(0, window.step_us - 1)
    return counted(events, since, until), counted(events, since - slack, until + slack)


@PROPERTY
@given(events=MANY, late=MANY, limit=st.integers(8, 60), before=STRETCH, since=STRETCH, until=STRETCH)
def test_beyond_its_limit_a_window_counts_within_a_step(
    events: Events, late: Events, limit: int, *, before: int, since: int, until: int
) -> None:
    """Beyond the limit, a count is at least the exact one, and at most that of a stretch longer by one step."""
    before, since, until = sorted((before, since, until))
    window = HostWindow(limit)
    add(window, events)

    window.evict(before)
    add(window, late)

    everything = events + late
    least, most = counted_in_steps(everything, window, since, until)
    found = window.count(since, until)
    for name in ("accepted", "client_errors", "server_errors", "unstamped"):
        assert getattr(least, name) <= getattr(found, name) <= getattr(most, name)
    assert sum(window.count_by_status(since, until).values()) == found.answers
    assert (window.step_us == 0) or len(everything) > limit
    assert window.size <= max(limit, 4)  # four kinds make one step at least


@PROPERTY
@given(events=MANY, limit=st.integers(8, 40), at=STRETCH)
def test_beyond_its_limit_a_window_finds_the_first_and_the_last_within_a_step(
    events: Events, limit: int, at: int
) -> None:
    """Each is at most one step away from the exact one."""
    window = HostWindow(limit)
    add(window, events)
    slack = max(0, window.step_us - 1)
    refused = [when for when, status in events if status is not None and status >= 400]
    first, last = window.earliest((4, 5), at), window.latest((4, 5), at)

    after, before = [when for when in refused if when >= at], [when for when in refused if when <= at]
    if first is None:
        assert not after
    else:
        assert any(abs(first - when) <= slack for when in refused)
        assert first >= at
    if last is None:
        assert not before
    else:
        assert any(last <= when <= last + slack for when in refused)
        assert not before or last >= max(before) - slack


@PROPERTY
@given(events=MANY, limit=st.integers(8, 40), before=STRETCH)
def test_beyond_its_limit_a_window_forgets_all_but_a_step(events: Events, limit: int, before: int) -> None:
    """What is left is older by one step at most, and nothing younger is gone."""
    window = HostWindow(limit)
    add(window, events)

    window.evict(before)

    slack = max(0, window.step_us - 1)
    assert sum(at >= before for at, _ in events) <= len(window) <= sum(at >= before - slack for at, _ in events)
    assert not window or window.first_at >= before
    if window:
        latest = max(at for at, _ in events)
        assert latest <= window.end_at <= latest + slack


def test_a_window_is_exact_up_to_its_limit_and_again_when_it_was_empty() -> None:
    """The length of a step is known, and is zero again after the busy time."""
    window = HostWindow()
    for number in range(EXACT_EVENTS):
        window.add_response(number * 1_000, 412)
    exact = window.step_us, len(window), window.size
    window.add_response(EXACT_EVENTS * 1_000, 412)
    in_steps = window.step_us, len(window), window.size
    window.evict(EXACT_EVENTS * 1_000 + 2_000_000)
    window.add_response(1 << 40, 412)

    assert exact == (0, EXACT_EVENTS, EXACT_EVENTS)
    assert in_steps == (1_000_000, EXACT_EVENTS + 1, 17)
    assert (window.step_us, len(window)) == (0, 1)


def test_steps_grow_until_they_fit() -> None:
    """The limit holds, however long the stretch is and whatever comes late."""
    window = HostWindow(64)
    for number in range(10_000):
        window.add_response((number * 7_919 % 10_000) * 1_000_000, 412)

    assert window.size <= 32
    assert window.totals.client_errors == 10_000


def filled(limit: int, instants: Iterable[int]) -> HostWindow:
    """Make a window with an accepted upload at each of some instants."""
    window = HostWindow(limit)
    for at in instants:
        window.add_response(at, 201)
    return window


@pytest.mark.parametrize(("count", "step_us"), [(FEWEST_EVENTS, 0), (FEWEST_EVENTS + 1, SECOND_US)])
def test_up_to_its_limit_a_window_keeps_every_event(count: int, step_us: int) -> None:
    """One more event, or a lower limit, makes it count in steps."""
    came, lowered = filled(FEWEST_EVENTS, range(count)), filled(2 * FEWEST_EVENTS, range(count))
    lowered.economise(FEWEST_EVENTS)

    assert (came.step_us, lowered.step_us) == (step_us, step_us)


def test_steps_become_longer_when_there_are_more_than_half_the_limit() -> None:
    """At exactly half of it they stay, also if the limit is set again."""
    window = filled(FEWEST_EVENTS, (second * SECOND_US for second in range(FEWEST_EVENTS + 1)))
    step_us, at = window.step_us, FEWEST_EVENTS * SECOND_US
    while window.size < FEWEST_EVENTS // 2:
        at += step_us
        window.add_response(at, 201)
    window.economise(FEWEST_EVENTS)
    assert window.step_us == step_us

    window.add_response(at + step_us, 201)
    assert window.step_us > step_us


def test_steps_are_as_long_as_it_takes_for_a_quarter_of_the_limit() -> None:
    """Exactly a quarter is few enough."""
    seconds = [*range(FEWEST_EVENTS), FEWEST_EVENTS - 1]
    window = filled(FEWEST_EVENTS, (second * SECOND_US for second in seconds))

    assert (window.step_us, window.size) == (4 * SECOND_US, FEWEST_EVENTS // 4)


@pytest.mark.parametrize("early", [300, 1])
def test_steps_become_longer_as_long_as_that_puts_events_together(early: int) -> None:
    """Two seconds with 300 statuses become one step each; a longer step would merge nothing."""
    window = HostWindow(FEWEST_EVENTS)
    statuses = [hundred + number for hundred in (200, 400, 500) for number in range(100)]
    for _ in range(4):
        for at, some in ((0, statuses[:early]), (SECOND_US, statuses)):
            for status in some:
                window.add_response(at, status)

    assert (window.step_us, window.size) == (2 * SECOND_US, 300)


def test_the_last_instant_of_a_step_belongs_to_it() -> None:
    """A search from there finds it, and an eviction keeps it."""
    window = HostWindow(FEWEST_EVENTS)
    for second in range(FEWEST_EVENTS + 1):
        window.add_response(second * SECOND_US, 412)
    assert window.step_us == 8 * SECOND_US
    last = 8 * SECOND_US - 1

    assert window.count(last, last) == Counts(client_errors=8)
    assert window.count(last + 1, last + 1) == Counts(client_errors=8)
    assert window.count(last, last + 1) == Counts(client_errors=16)
    window.evict(last)
    assert (len(window), window.first_at) == (FEWEST_EVENTS + 1, last)
    window.evict(last + 1)
    assert (len(window), window.first_at) == (FEWEST_EVENTS + 1 - 8, last + 8 * SECOND_US)


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (200, Counts(accepted=16)),
        (299, Counts(accepted=16)),
        (400, Counts(client_errors=16)),
        (499, Counts(client_errors=16)),
        (500, Counts(server_errors=16)),
        (599, Counts(server_errors=16)),
    ],
)
def test_steps_count_each_status_in_its_class(status: int, counts: Counts) -> None:
    """Also over a part of the window: here two steps of eight seconds."""
    window = HostWindow(FEWEST_EVENTS)
    for second in range(FEWEST_EVENTS + 1):
        window.add_response(second * SECOND_US, status)

    assert window.step_us == 8 * SECOND_US
    assert window.count(15 * SECOND_US, 16 * SECOND_US) == counts


def test_an_empty_window_has_no_first_and_no_last_event() -> None:
    """Its first event is after every instant, and its last one before."""
    window = HostWindow()

    assert (window.first_at, window.end_at, len(window)) == (NEVER, -NEVER, 0)
    assert not window
