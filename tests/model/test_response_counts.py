"""Responses are counted once, and counts never decrease."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.observation import Response, UnitState, Unstamped
from fleet_health.model.response_counts import ResponseCounts
from tests.rig.properties import tried

HOSTS = st.sampled_from(["a", "b", "c"])
RESPONSES = st.builds(Response, HOSTS, st.integers(0, 9), st.sampled_from([200, 201, 299, 412, 499, 500, 503]))


def test_classes_are_counted_by_host_and_by_receiver() -> None:
    """Other observations are not counted, nor are statuses of no class."""
    counts = ResponseCounts()
    counts.record("", [Response("a", 1, 201), Response("a", 2, 412), Response("b", 3, 503), Response("a", 4, 302)])
    counts.record("lab", [Response("a", 5, 201), Unstamped("a", 5), UnitState(6, is_running=True)])

    assert {host: counts.of(host) for host in "abc"} == {"a": (2, 1, 0), "b": (0, 0, 1), "c": (0, 0, 0)}
    assert counts.of_receivers == {("", 2): 1, ("", 4): 1, ("", 5): 1, ("lab", 2): 1}


def test_what_was_counted_before_is_left_out() -> None:
    """Up to an instant, inclusive."""
    counts = ResponseCounts()
    counts.record("", [Response("a", at, 201) for at in (1, 2, 3)], after=2)

    assert counts.of("a") == (1, 0, 0)


@tried(100)
@given(st.lists(st.lists(RESPONSES, max_size=5), max_size=8))
def test_it_only_grows_and_each_counts_once(batches: list[list[Response]]) -> None:
    """In whatever order they come, and however often."""
    counts, before = ResponseCounts(), (0, 0, 0)
    for batch in batches:
        counts.record("", batch)
        after = counts.of("a")
        assert all(earlier <= later for earlier, later in zip(before, after, strict=True))
        before = after

    every = [one for batch in batches for one in batch]
    assert sum(sum(counts.of(host)) for host in "abc") == len(every) == counts.of_receivers.total()


def test_invented_names_fill_no_memory() -> None:
    """At most twice the host limit is kept, and later only hosts that are known."""
    counts = ResponseCounts()
    counts.record("", [Response("known", 1, 201)])
    for begin in range(0, 100_000, 100):
        counts.record("", [Response(f"invented-{begin + number}", 1, 404) for number in range(100)])
        if counts.is_crowded:
            counts.keep(lambda host: host == "known")

    assert sum(len(hosts) for hosts in counts._of_hosts.values()) < 1_200
    assert counts.of("known") == (1, 0, 0)
    assert counts.of_receivers == {("", 2): 1, ("", 4): 100_000}


@pytest.mark.parametrize(("kept", "most"), [(10, 1_000), (500, 1_000), (501, 1_002), (2_000, 4_000)])
def test_it_is_crowded_by_more_than_twice_as_many_as_were_kept(kept: int, most: int) -> None:
    """But never by fewer than a thousand."""
    counts = ResponseCounts()
    counts.record("", [Response(f"h{number}", 1, 404) for number in range(kept)])
    counts.keep(lambda _: True)
    counts.record("", [Response(f"n{number}", 1, 404) for number in range(most - kept)])
    before = counts.is_crowded
    counts.record("", [Response("one more", 1, 404)])

    assert (before, counts.is_crowded) == (False, True)
