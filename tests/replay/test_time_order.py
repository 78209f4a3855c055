"""Putting observations in order of time: whatever the order they come in, and however short the runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.replay.time_order import TimeOrder

items = st.lists(st.tuples(st.integers(0, 50), st.integers(-(1 << 63), (1 << 63) - 1)), max_size=60)


@given(st.lists(items, max_size=6), st.integers(1, 20))
def test_all_come_out_in_order(batches: list[list[tuple[int, int]]], run_length: int) -> None:
    """Each as often as it came in; those of one instant in the order they came in, as long as they are of one run."""
    with TimeOrder(run_length) as order:
        for batch in batches:
            order.add(batch)
        out = list(order)
        again = list(order)

    everything = [item for batch in batches for item in batch]
    assert sorted(out) == sorted(everything)
    assert [at for at, _ in out] == sorted(at for at, _ in everything)
    assert again == out


@pytest.mark.parametrize("length", [1, 4_096, 4_097, 10_000])
def test_two_sources_are_merged(length: int) -> None:
    """Each in order by itself: neither is sorted anew, and each is one chain."""
    with TimeOrder(1_000) as order:
        for source in (0, 1):
            for begin in range(0, length, 100):
                order.add([(2 * number + source, source) for number in range(begin, min(length, begin + 100))])
            order.flush()
        out = list(order)
        chains = len(order._chains)

    assert out == [(number, number % 2) for number in range(2 * length)]
    assert chains == 2 if length > 1 else chains <= 2


def test_nothing_gives_nothing() -> None:
    """And no more than that."""
    with TimeOrder() as order:
        order.add([])

        assert list(order) == []
