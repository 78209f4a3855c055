"""The rhythm of a host, and what is saved of it."""

from __future__ import annotations

import zlib
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.cadence import Cadence, CadenceSnapshot
from fleet_health.model.instant import HOUR_US
from fleet_health.model.pauses import Pause
from fleet_health.model.rhythm import BIN_US, KEPT_US, SavedRhythm
from tests.model.rhythms import (
    FOUR_WEEKS,
    MONDAY,
    cadence_of,
    every,
)


def test_a_host_takes_at_most_a_kibibyte_of_the_state() -> None:
    """Even if its uploads cannot be compressed."""
    random = Random(2)  # noqa: S311 - nothing is secret here
    cadence = cadence_of(a=[MONDAY - random.randrange(KEPT_US) for _ in range(4000)])
    saved = msgspec.json.encode(cadence.snapshot(MONDAY).hosts["a"])

    assert len(saved) <= 1024
    assert msgspec.json.decode(saved, type=SavedRhythm).restored() == cadence.rhythm("a")


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(SavedRhythm(1, b"no such thing"), id="not compressed"),
        pytest.param(SavedRhythm(1, zlib.compress(bytes(5000))), id="too long, and without an upload"),
        pytest.param(SavedRhythm(-1, zlib.compress(b"\1")), id="before the epoch"),
        pytest.param(SavedRhythm(1, zlib.compress(b"\2")), id="not counted from its newest upload"),
    ],
)
def test_what_was_never_saved_is_left_out(saved: SavedRhythm) -> None:
    """A state file that was edited by hand does not change any limit."""
    cadence = Cadence(1)
    cadence.restore(CadenceSnapshot(1, {"a": saved}, saved))

    assert saved.restored() is None
    assert list(cadence.hosts()) == []


@given(
    st.sets(st.integers(0, 6_000), min_size=1, max_size=40),
    st.sets(st.integers(0, 6_000), min_size=1, max_size=40),
    st.integers(0, 3),
)
def test_what_two_know_of_a_host_is_what_one_would_know(first: set[int], second: set[int], outage: int) -> None:
    """A restored state and what was read since are merged, uploads and outages alike."""
    whole, one, other = (
        cadence_of(a=[number * BIN_US for number in numbers]) for numbers in (first | second, first, second)
    )
    stops = [Pause(10 * BIN_US, (10 + outage) * BIN_US, "stopped"), Pause(40 * BIN_US, 43 * BIN_US, "stopped")]
    whole.note_outages(stops)
    one.note_outages(stops[:1])
    other.note_outages(stops[1:])
    one.restore(other.snapshot(1))

    assert one.rhythm("a") == whole.rhythm("a")
    assert one.outages() == whole.outages()


def test_a_regular_rhythm_takes_few_octets_of_the_state() -> None:
    """The bits of most hosts repeat, so they compress well."""
    saved = cadence_of(a=every(HOUR_US, FOUR_WEEKS, MONDAY)).snapshot(MONDAY).hosts["a"]

    assert len(saved.bits) <= 32
