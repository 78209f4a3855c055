"""The known name that was probably meant."""

from __future__ import annotations

from itertools import islice, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.near_miss import near_miss

NAMES = st.text("abc", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        pytest.param("pi-1", ["pi-2", "pi-01"], "pi-01", id="of several at one edit the first in their order"),
        pytest.param("pi-21", ["pi-12"], "pi-12", id="two neighbours swapped"),
        pytest.param("pi12", ["pi-12"], "pi-12", id="a letter left out"),
        pytest.param("pi-122", ["pi-12"], "pi-12", id="a letter too many"),
        pytest.param("pi-13", ["pi-12"], "pi-12", id="another letter"),
        pytest.param("PI-12", ["pi-12"], "pi-12", id="another case"),
        pytest.param("bench-07", ["bench_7"], "bench_7", id="two edits"),
        pytest.param("bench-07", ["bench_7", "bench-7"], "bench-7", id="one edit before two"),
        pytest.param("bench", ["pi-12", "b"], None, id="nothing alike"),
        pytest.param("pi-12", [], None, id="nobody"),
        pytest.param("", ["a"], "a", id="an empty name"),
        pytest.param("abcd", ["xycd"], "xycd", id="two other letters"),
        pytest.param("abcd", ["ab"], "ab", id="two letters too many at the end"),
        pytest.param("abcd", ["cd"], "cd", id="two letters too many at the begin"),
        pytest.param("x" * 64, ["x" * 63], "x" * 63, id="as long as it may be"),
        pytest.param("x" * 65, ["x" * 64], None, id="too long to be worth it"),
    ],
)
def test_the_nearest_is_found(name: str, known: list[str], expected: str | None) -> None:
    """By one edit, otherwise by two."""
    assert near_miss(name, dict.fromkeys(known)) == expected


@pytest.mark.parametrize(("others", "expected"), [(199, "bacdefhg"), (200, None)])
def test_two_hundred_names_that_look_alike_are_compared(others: int, expected: str | None) -> None:
    """Names after these may be missed, which bounds the time."""
    alike = ["".join(letters) for letters in islice(permutations("hgfedcba"), others)]

    assert near_miss("abcdefgh", dict.fromkeys([*alike, "bacdefhg"])) == expected


def distance(one: str, other: str) -> int:
    """Return the optimal string alignment distance, by the whole table."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, different in enumerate(other, start=1):
            cost = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (letter != different))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == different:
                cost = min(cost, rows[i - 2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


@given(name=NAMES, known=st.lists(NAMES, max_size=8))
def test_it_is_found_just_where_two_edits_are_enough(name: str, known: list[str]) -> None:
    """Nothing further away is found, nothing within is missed, and the nearer name is preferred."""
    known = [other for other in known if other != name]
    found = near_miss(name, dict.fromkeys(known))
    nearest = min((distance(name, other) for other in known), default=9)

    assert (found is not None) == (nearest <= 2)
    if found is not None:
        assert found in known
        assert distance(name, found) == nearest


@pytest.mark.parametrize(
    "known",
    [
        pytest.param("bacdef", id="the first two letters swapped"),
        pytest.param("abcdfe", id="the last two letters swapped"),
        pytest.param("bcdef", id="the first letter left out"),
        pytest.param("abcde", id="the last letter left out"),
        pytest.param("xabcdef", id="a letter before the first"),
        pytest.param("abcdefx", id="a letter behind the last"),
        pytest.param("xbcdef", id="another first letter"),
        pytest.param("abcdex", id="another last letter"),
    ],
)
def test_a_name_at_one_edit_comes_before_one_at_two_wherever_the_edit_is(known: str) -> None:
    """Even if the other one is first in the list."""
    assert near_miss("abcdef", dict.fromkeys(["abxxef", known])) == known


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ab12", "ba21"),
        ("ab", ""),
        ("", "ab"),
        ("abcd", "cdab"),
        ("aabb", "bb"),
        ("abcabc", "abc"),
        ("pi-0", "01-i"),
        ("dabe", "xxde"),
        ("edab", "edxx"),
    ],
)
def test_two_edits_are_counted_as_by_the_whole_table(name: str, known: str) -> None:
    """Also with repeated letters, an empty name, and names that differ completely."""
    assert (near_miss(name, dict.fromkeys([known])) == known) == (distance(name, known) <= 2)


def test_of_all_short_words_those_at_two_edits_are_near() -> None:
    """Each word is compared with each other one."""
    words = ["".join(letters) for length in range(1, 6) for letters in product("ab", repeat=length)]

    for name, known in product(words, words):
        assert (near_miss(name, {known: None}) == known) == (distance(name, known) <= 2), (name, known)
