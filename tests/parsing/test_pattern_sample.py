"""Sample texts made from a pattern: the pattern matches each of them."""

from __future__ import annotations

import re

import pytest

from fleet_health.parsing.pattern_sample import literals_of, samples


@pytest.mark.parametrize(
    ("pattern", "groups", "texts"),
    [
        (r"^(?P<host>\S+) -> (?P<status>\d+)$", {"host": "victim", "status": "201"}, ["victim -> 201"]),
        (r"upload of (?P<host>(\w+\s?)+): done", {"host": "victim"}, ["upload of victim: done"]),
        (r"(?:ab|cd) (?P<host>[^/ ]+)", {"host": "victim"}, ["ab victim", "cd victim"]),
        (r"(?P<host>\d+)", {"host": "victim"}, []),
        (r"(?P<host>[a-z]{2,3})-\1{2}", {}, ["vv-vvvv"]),
        (r"[^\x00-\x7f]", {}, []),
        (r"[é-ü]", {}, ["é"]),
        (r"[üé]x", {}, ["üx"]),
        (r"a++b*?(?>c)[^a]\W\D.", {}, ["acv vx"]),
        (r"(?<!x)a(?=b)b\b", {}, ["ab"]),
        (r"[^v]x", {}, ["1x"]),
        (r"[^v-z]x", {}, ["1x"]),
        (r"[^v1]x", {}, [" x"]),
        (r"[^1v]x", {}, [" x"]),
        (r"[^a-v]x", {}, ["1x"]),
        ("(" * 50 + "a" + ")" * 50, {}, ["a"]),
        ("(" * 51 + "a" + ")" * 51, {}, []),
    ],
)
def test_a_sample_is_matched_with_the_groups_as_asked(pattern: str, groups: dict[str, str], texts: list[str]) -> None:
    """If none can be made, the result is empty, never an error."""
    found = samples(re.compile(pattern), groups)

    assert [text for text in texts if text not in found] == []
    assert bool(found) == bool(texts)
    assert all(re.search(pattern, text) for text in found)


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        (r"^PUT (?P<host>\S+) -> \d+ OK$", ("PUT ", " -> ", " OK")),
        (r"ab?c", ("a", "c")),
        (r"(?:a|b)c", ("c",)),
        ("(" * 51 + "a" + ")" * 51, ()),
    ],
)
def test_what_every_match_holds_is_known_in_order(pattern: str, literals: tuple[str, ...]) -> None:
    """Optional parts are left out; nothing is known about a pattern that is nested too deeply."""
    assert literals_of(re.compile(pattern)) == literals
