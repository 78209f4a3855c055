"""The last upload of each host, and some of its earlier uploads."""

from __future__ import annotations

from itertools import pairwise

import pytest
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
    """The saved state gives the last one, and earlier rows are read after it."""
    uploads = recorded([at * APART_US for at in ats])

    latest = list(uploads.latest("pi-1"))

    assert latest[-16:] == [at * APART_US for at in sorted(ats)][-16:]
    assert 16 <= len(latest) <= 32 or len(latest) == len(ats)


@given(ats=st.lists(st.integers(0, 1_000 * SECOND_US), min_size=1))
def test_rows_of_one_request_count_once_in_whatever_order_they_came(ats: list[int]) -> None:
    """Apart from the last upload, no two kept uploads are within 15 seconds."""
    uploads = recorded(ats)

    kept = list(uploads.recent("pi-1"))

    assert uploads.last_at("pi-1") == max(ats)
    assert kept == sorted(kept)
    assert all(later - earlier >= APART_US for earlier, later in pairwise(kept))


@pytest.mark.parametrize("apart_us", [APART_US - 1, APART_US])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_uploads_are_apart_from_fifteen_seconds_on(apart_us: int, order: tuple[int, int]) -> None:
    """The one that came first is kept, and the other one too if it is far enough away."""
    ats = [1_000 * SECOND_US + number * apart_us for number in (0, 1)]

    kept = list(recorded([ats[number] for number in order]).recent("pi-1"))

    assert kept == (ats if apart_us == APART_US else [ats[order[0]]])


@pytest.mark.parametrize("neighbour", [0, 2])
@pytest.mark.parametrize("near_us", [0, 1])
def test_an_earlier_upload_is_kept_if_it_is_apart_from_both_neighbours(neighbour: int, near_us: int) -> None:
    """One microsecond too near to either is too near."""
    ats = [1_000 * SECOND_US + number * 2 * APART_US for number in range(3)]
    between = ats[neighbour] + (APART_US - near_us) * (1 if neighbour == 0 else -1)

    kept = list(recorded([ats[0], ats[2], between]).recent("pi-1"))

    assert (between in kept) == (not near_us)


@pytest.mark.parametrize("kept", [15, 16])
def test_an_upload_before_all_that_are_kept_is_kept_while_there_are_few(kept: int) -> None:
    """From sixteen on, earlier ones are not kept."""
    ats = [(number + 1) * APART_US for number in range(kept)]

    assert (0 in recorded([*ats, 0]).recent("pi-1")) == (kept < 16)
