"""Two replays are compared: what only one has, and what both have, but not alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.replay.difference import Difference, difference
from fleet_health.replay.timeline import Episode

Stretch = tuple[int, int | None]


def episodes(*stretches: Stretch, host: str = "pi") -> list[Episode]:
    """Make the incidents of a host."""
    return [Episode(host, "silent", begin, end, 1, f"for {end}") for begin, end in stretches]


def stretches(found: tuple[Episode, ...]) -> list[Stretch]:
    """Return when each was open."""
    return [(one.opened_at, one.ended_at) for one in found]


@pytest.mark.parametrize(
    ("old", "new", "added", "gone", "changed"),
    [
        pytest.param([], [], [], [], [], id="nothing in either"),
        pytest.param([(1, 5)], [(1, 5)], [], [], [], id="alike"),
        pytest.param([], [(1, 5)], [(1, 5)], [], [], id="only in the new one"),
        pytest.param([(1, 5)], [], [], [(1, 5)], [], id="only in the old one"),
        pytest.param([(1, 5)], [(2, 5)], [], [], [([(1, 5)], [(2, 5)])], id="opens later"),
        pytest.param([(1, 5)], [(1, None)], [], [], [([(1, 5)], [(1, None)])], id="does not end"),
        pytest.param([(1, None)], [(1, None)], [], [], [], id="both stand at the end"),
        pytest.param([(9, None)], [(9, None)], [], [], [], id="both open at the last tick"),
        pytest.param([(1, 5)], [(5, 9)], [(5, 9)], [(1, 5)], [], id="one opens when the other is over"),
        pytest.param([(1, 9)], [(1, 3), (5, 9)], [], [], [([(1, 9)], [(1, 3), (5, 9)])], id="in two"),
        pytest.param([(1, 3), (5, 9)], [(2, 8)], [], [], [([(1, 3), (5, 9)], [(2, 8)])], id="in one"),
        pytest.param(
            [(1, 4), (6, 9)],
            [(3, 7), (8, None)],
            *([], []),
            [([(1, 4), (6, 9)], [(3, 7), (8, None)])],
            id="each overlaps the next",
        ),
        pytest.param([(1, 9), (9, 12)], [(1, 9)], [], [(9, 12)], [], id="one that follows at once is another"),
    ],
)
def test_what_overlaps_is_compared(
    old: list[Stretch],
    new: list[Stretch],
    added: list[Stretch],
    gone: list[Stretch],
    changed: list[tuple[list[Stretch], list[Stretch]]],
) -> None:
    """Of one host and symptom."""
    found = difference(episodes(*old), episodes(*new))

    assert (stretches(found.added), stretches(found.gone)) == (added, gone)
    assert [(stretches(one.old), stretches(one.new)) for one in found.changed] == changed


def test_other_hosts_and_symptoms_are_others() -> None:
    """However much they overlap; and what is given is in the order in which it opened."""
    late, early = episodes((5, 9), host="a"), episodes((1, 9), host="b")
    other = [Episode("a", "fatal-only", 5, 9, 1, "")]

    assert difference(late, other) == Difference(tuple(other), tuple(late), ())
    assert difference([], late + early).added == (*early, *late)


def test_how_often_it_is_told_is_a_change_and_what_it_says_is_none() -> None:
    """The detail names the limits, which differ wherever one was changed."""
    old, said, told = (Episode("a", "silent", 1, 9, *rest) for rest in ((1, "30 min"), (1, "45 min"), (2, "30 min")))

    assert difference([old], [said]).changed == ()
    assert difference([old], [told]).changed == (((old,), (told,)),)


lives = st.lists(st.integers(0, 30), max_size=8, unique=True).map(sorted)


@given(lives, lives, st.sampled_from(["a", "b"]))
def test_none_is_lost_and_none_is_said_twice(old: list[int], new: list[int], host: str) -> None:
    """Each episode is in one place at most, and those that are in none are the same on both sides."""
    ones = episodes(*zip(old[::2], [*old[1::2], None], strict=False), host="a")
    others = episodes(*zip(new[::2], [*new[1::2], None], strict=False), host=host)
    found = difference(ones, others)
    of_old = [*found.gone, *(one for change in found.changed for one in change.old)]
    of_new = [*found.added, *(one for change in found.changed for one in change.new)]
    alike = [one for one in ones if one not in of_old]

    assert len(set(of_old)) == len(of_old)
    assert len(set(of_new)) == len(of_new)
    assert stretches(tuple(alike)) == stretches(tuple(one for one in others if one not in of_new))
