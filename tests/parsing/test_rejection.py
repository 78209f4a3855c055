"""Rejections quote what they reject in a form that is safe to show, and are counted by reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.parsing.rejection import Rejection, RejectionCount, rejection
from tests.rig.properties import tried


@pytest.mark.parametrize(
    ("line", "excerpt"),
    [
        pytest.param(b"", "", id="nothing"),
        pytest.param(b'"a": [1, ~2]', '"a": [1, ~2]', id="printable ASCII stays"),
        pytest.param(
            b"{`$(a;b)`|&<>!'}",
            r"\x7b\x60\x24\x28a\x3bb\x29\x60\x7c\x26\x3c\x3e\x21\x27\x7d",
            id="but what a shell obeys",
        ),
        pytest.param(rb"\x41", r"\x5cx41", id="and the escape itself"),
        pytest.param(b"a\tb\r\0\x7f", r"a\x09b\x0d\x00\x7f", id="control characters are escaped"),
        pytest.param(b"\x1b[2J", r"\x1b[2J", id="terminal escapes, too"),
        pytest.param(b"\xff", r"\xff", id="bytes beyond ASCII are escaped"),
        pytest.param("\u202eé", r"\xe2\x80\xae\xc3\xa9", id="so are characters beyond ASCII"),
        pytest.param("\ud800", r"\xed\xa0\x80", id="and lone surrogates"),
        pytest.param(b"x" * 120, "x" * 120, id="120 bytes are shown whole"),
        pytest.param(b"x" * 121, "x" * 120 + "…", id="a longer line is cut"),
    ],
)
def test_the_excerpt_shows_the_beginning(line: bytes | str, excerpt: str) -> None:
    """The beginning of the line, safe to show."""
    assert rejection("some reason", line) == Rejection("some reason", excerpt)


@tried(300)
@given(line=st.binary(max_size=200) | st.text(st.characters(), max_size=200))
def test_an_excerpt_is_printable(line: bytes | str) -> None:
    """It is short, and has only printable ASCII and perhaps an ellipsis at its end."""
    excerpt = rejection("some reason", line).excerpt

    assert re.fullmatch(r"[ -~]*…?", excerpt)
    assert len(excerpt) <= 4 * 120 + 1


def test_rejections_are_counted_by_reason() -> None:
    """Each reason has its number and its latest example."""
    count = RejectionCount()

    count.add([Rejection("a", "1"), Rejection("b", "2")])
    count.add(Rejection("a", example) for example in "34")
    count.add([])

    assert (count.total, count.by_reason, count.latest) == (4, {"a": 3, "b": 1}, {"a": "4", "b": "2"})


def test_counts_of_two_stretches_are_joined() -> None:
    """Numbers are added, and the later example of each reason is kept."""
    first, second = RejectionCount(), RejectionCount()
    first.add([Rejection("a", "1"), Rejection("b", "2")])
    second.add([Rejection("a", "3"), Rejection("c", "4")])

    first.merge(second)

    assert (first.by_reason, first.latest) == ({"a": 2, "b": 1, "c": 1}, {"a": "3", "b": "2", "c": "4"})


def test_what_is_new_since_the_last_look_is_given_once() -> None:
    """The most frequent reason first, with its latest example."""
    count = RejectionCount()
    count.add([Rejection("a", "1"), Rejection("b", "2"), Rejection("b", "3")])
    first = count.news()
    count.add([Rejection("a", "4")])

    assert first == [("b", 2, "3"), ("a", 1, "1")]
    assert count.news() == [("a", 1, "4")]
    assert count.news() == []
