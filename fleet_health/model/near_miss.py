"""Finds the known name that was probably meant: fast and bounded, whatever the names are.

`difflib` compares two names in about a millisecond, and holds the interpreter while it does: 20 seconds among 10,000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-_.:ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST = 64
# How many names are compared letter by letter, at 20 to 100 microseconds each.
_MOST_COMPARED = 200


def near_miss(name: str, known: Collection[str]) -> str | None:
    """Return a known name that differs by one edit, else one that differs by two; None if none is found.

    An edit inserts, removes or replaces a letter, or swaps two neighbours. The case of letters does not count as a
    difference if nothing else differs. Of names longer than 64 letters only the same in another case is found. If very
    many names look alike, the one with two edits may be missed.

    Args:
        name: The name that is not known.
        known: The known names, with a fast `in`.

    """
    folded = name.casefold()
    alike = [other for other in known if len(other) == len(name) and other.casefold() == folded]
    if alike or len(name) > _LONGEST:
        return min(alike, default=None)
    if found := min((one for one in _edits(name) if one in known), default=None):
        return found
    letters = frozenset(name)
    # Two edits bring in two letters at most, and take two away.
    compared = 0
    for other in known:
        if abs(len(other) - len(name)) > 2 or len(letters.symmetric_difference(other)) > 4:  # noqa: PLR2004
            continue
        compared += 1
        if compared > _MOST_COMPARED:
            break
        if _are_two_edits_apart(name, other):
            return other
    return None


def _edits(name: str) -> Iterator[str]:
    """Return every name that is one edit away."""
    for place in range(len(name) + 1):
        before, after = name[:place], name[place:]
        if after:
            yield before + after[1:]
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        for letter in _ALPHABET:
            yield before + letter + after
            if after:
                yield before + letter + after[1:]


def _are_two_edits_apart(one: str, other: str) -> bool:
    """Return whether two edits at most make one name of another; only the middle that differs is looked at."""
    start = 0
    shorter = min(len(one), len(other))
    while start < shorter and one[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return _distance(one[start : len(one) - end], other[start : len(other) - end])


def _distance(one: str, other: str) -> bool:
    """Return whether the optimal string alignment distance is 2 at most; of each row only five cells are needed.

    The lengths must differ by no more than that.
    """
    limit = 2
    far = limit + 1
    before_last: dict[int, int] = {}
    last = {column: column for column in range(min(len(other), limit) + 1)}
    for row, letter in enumerate(one, start=1):
        current: dict[int, int] = {}
        for column in range(max(0, row - limit), min(len(other), row + limit) + 1):
            if column == 0:
                current[column] = row
                continue
            is_same = letter == other[column - 1]
            cost = min(
                last.get(column, far) + 1,
                current.get(column - 1, far) + 1,
                last.get(column - 1, far) + (not is_same),
            )
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == other[column - 1]:
                cost = min(cost, before_last.get(column - 2, far) + 1)
            current[column] = cost
        if min(current.values()) > limit:
            return False
        before_last, last = last, current
    return last.get(len(other), far) <= limit
