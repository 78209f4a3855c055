"""Lines that journald split: neither the parts nor the rest can be trusted."""

from __future__ import annotations

import pytest

from fleet_health.parsing.long_line import LINE_LIMIT
from fleet_health.sources.journal.broken_lines import BrokenLines

LONG, SHORT = b"x" * (LINE_LIMIT + 1), b"x"


class Journal:
    """Entries with a stream and a break, and which fields were asked for."""

    def __init__(self) -> None:
        self.fields: dict[str, bytes] = {}
        self.asked = 0
        self.broken = BrokenLines(self._field)

    def _field(self, name: str) -> bytes:
        self.asked += 1
        return self.fields.get(name, b"")

    def read(self, message: bytes, stream: bytes = b"a", line_break: bytes = b"") -> bool:
        """Read an entry; return whether it is a part."""
        self.fields = {"_STREAM_ID": stream, "_LINE_BREAK": line_break}
        return self.broken.is_part(message)


@pytest.mark.parametrize("line_break", [b"line-max", b"pid-change"])
def test_the_rest_of_a_broken_line_is_what_comes_next_in_its_stream(line_break: bytes) -> None:
    """It has no field that marks it, and may be a whole line; lines of other streams are whole."""
    journal = Journal()

    assert journal.read(LONG, b"a", line_break)
    assert not journal.broken.may_be_whole
    assert not journal.read(SHORT, b"b")
    assert not journal.broken.may_be_whole
    assert journal.read(SHORT, b"a")
    assert journal.broken.may_be_whole
    assert not journal.read(SHORT, b"a")


@pytest.mark.parametrize("line_break", [b"", b"nul", b"eof"])
def test_a_line_that_was_not_broken_is_whole(line_break: bytes) -> None:
    """However long it is: an entry may be split off for other reasons."""
    journal = Journal()

    assert not journal.read(LONG, b"a", line_break)
    assert journal.broken.streams == set()


def test_a_line_in_many_parts_is_a_part_until_its_rest() -> None:
    """Two streams may have a split line at the same time."""
    journal = Journal()
    parts = [
        journal.read(LONG, stream, line_break)
        for stream, line_break in (
            (b"a", b"line-max"),
            (b"b", b"line-max"),
            (b"a", b"line-max"),
            (b"a", b""),
            (b"b", b""),
        )
    ]

    assert parts == [True] * 5
    assert not journal.read(LONG, b"a")
    assert not journal.read(LONG, b"b")


def test_only_long_entries_are_asked_for_their_fields() -> None:
    """Asking costs a fifth of reading an entry; while a rest is expected, every entry is asked."""
    journal = Journal()
    journal.read(b"x" * LINE_LIMIT)
    assert journal.asked == 0

    journal.read(LONG, b"a", b"line-max")
    journal.read(SHORT, b"b")
    assert journal.asked == 4


@pytest.mark.parametrize(("others", "is_part"), [(999, True), (1_000, False)])
def test_a_rest_is_awaited_for_a_thousand_entries(others: int, *, is_part: bool) -> None:
    """It comes at once, or its writer is gone."""
    journal = Journal()
    journal.read(LONG, b"a", b"line-max")
    for _ in range(others):
        journal.read(SHORT, b"b")

    assert journal.read(SHORT, b"a") == is_part
