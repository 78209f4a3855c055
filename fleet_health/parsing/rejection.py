"""Rejected lines, and their counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.errors import shell_safe
from fleet_health.parsing.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXCERPT_LENGTH = 120
# How many characters are searched for secrets, because text after a removed secret moves into the excerpt.
_LOOKED_AT = 1_000

BLANK_LINE = "blank line"
"""The reason of a blank line, which shows nothing about the format of other lines."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that should have given an observation but did not.

    Attributes:
        reason: The reason, in the same words for every such line, so that they can be counted.
        excerpt: The beginning of the line without its secrets: printable ASCII, with control characters escaped.

    """

    reason: str
    excerpt: str


def rejection(reason: str, line: bytes | str) -> Rejection:
    """Return a rejection with a safe excerpt of the line."""
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
    """The number of rejected lines and the latest example, for each reason."""

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
        """Add the counts of later lines."""
        self.by_reason += other.by_reason
        self.latest |= other.latest

    def news(self) -> list[tuple[str, int, str]]:
        """Return reason, count and latest excerpt of the rejections since the last call."""
        fresh = self.by_reason - self._reported
        self._reported = self.by_reason.copy()
        return [(reason, count, self.latest[reason]) for reason, count in fresh.most_common()]

    @property
    def total(self) -> int:
        """The number of rejections of any reason."""
        return self.by_reason.total()
