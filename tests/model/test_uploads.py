"""When each host uploaded last, and some of its uploads before that."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Upload
from fleet_health.model.uploads import Uploads

APART_US = 15 * SECOND_US


def recorded(ats: list[int]) -> Uploads:
    """Record uploads of a host."""
    uploads = Uploads()
    uploads.record([Upload("pi-1", at) for at in ats])
    return uploads


@given(ats=st.lists(st.integers(0, 10_000), min_size=1, unique=True).flatmap(st.permutations))
def test_the_latest_uploads_are_known_in_whatever_order_they_came(ats: list[int]) -> None:
    """A saved state gives the last one, and the rows before it are read after that; none is so near to another."""
    uploads = recorded([at * APART_US for at in ats])

    latest = list(uploads.latest("pi-1"))

    assert latest[-16:] == [at * APART_US for at in sorted(ats)][-16:]
    assert 16 <= len(latest) <= 32 or len(latest) == len(ats)


@given(ats=st.lists(st.integers(0, 1_000 * SECOND_US), min_size=1))
def test_rows_of_one_request_count_once_in_whatever_order_they_came(ats: list[int]) -> None:
    """Beside the last one, which is always known, no two of them are within 15 seconds."""
    uploads = recorded(ats)

    kept = list(uploads.recent("pi-1"))

    assert uploads.last_at("pi-1") == max(ats)
    assert kept == sorted(kept)
    assert all(later - earlier >= APART_US for earlier, later in pairwise(kept))
