"""Input that could not be read, and the count of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.errors import shell_safe
from fleet_health.parsing.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXCERPT_LENGTH = 120
# Characters that are searched for secrets: when one is cut, the text behind it moves into the excerpt.
_LOOKED_AT = 1_000

BLANK_LINE = "blank line"
"""The reason of a blank line: it says nothing about the format of other lines."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that gave no observation although it should have.

    Attributes:
        reason: Why, in words that are the same for every such line, so that they can be counted.
        excerpt: The beginning of the line without its secrets: printable ASCII, with what a shell obeys escaped.

    """

    reason: str
    excerpt: str


def rejection(reason: str, line: bytes | str) -> Rejection:
    """Make a rejection that quotes the beginning of a line safely."""
    if isinstance(line, str):
        octets = without_secrets(line[:_LOOKED_AT]).encode("utf-8", "surrogatepass")
    else:
        octets = without_secrets(line[:_LOOKED_AT].decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )
    excerpt = shell_safe(octets[:_EXCERPT_LENGTH].decode("ascii", "surrogateescape"))
    is_cut = len(octets) > _EXCERPT_LENGTH or len(line) > _LOOKED_AT
    return Rejection(reason, f"{excerpt}…" if is_cut else excerpt)


class RejectionCount:
    """How many lines were rejected, by reason, with the latest example of each."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self.latest: dict[str, str] = {}
        self._reported: Counter[str] = Counter()

    def add(self, rejections: Iterable[Rejection]) -> None:
        """Count rejections."""
        for one in rejections:
            self.by_reason[one.reason] += 1
            self.latest[one.reason] = one.excerpt

    def merge(self, other: RejectionCount) -> None:
        """Add what came after."""
        self.by_reason += other.by_reason
        self.latest |= other.latest

    def news(self) -> list[tuple[str, int, str]]:
        """Return the rejections since the last call: reason, count, and the latest excerpt."""
        fresh = self.by_reason - self._reported
        self._reported = self.by_reason.copy()
        return [(reason, count, self.latest[reason]) for reason, count in fresh.most_common()]

    @property
    def total(self) -> int:
        """The number of rejections of any reason."""
        return self.by_reason.total()
