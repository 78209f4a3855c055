"""Hosts by their names' shape: `*`, `?` and `[…]` as in the shell.

Matching takes time in proportion to the name and the glob, never more: `fnmatch` translates each `*` but the last into
an atomic group (Python 3.11 and later), so that `*a*a*a*b` cannot backtrack. Plain names are looked up, not matched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_wildcard = re.compile(r"\[!?\]?[^]]*\]|[*?]")


def is_plain(glob: str) -> bool:
    """Return whether a glob can only match the host that is named so."""
    return not any(character in glob for character in "*?[")


def literal_length(glob: str) -> int:
    """Count the characters that a glob spells out; a set such as `[a-z]` spells out none."""
    return len(_wildcard.sub("", glob))


@dataclass(frozen=True)
class HostGlobs:
    """Some globs, each matched against whole names, case-sensitively."""

    globs: tuple[str, ...] = ()

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(filter(is_plain, self.globs))

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        shapes = [translate(glob) for glob in self.globs if not is_plain(glob)]
        return re.compile("|".join(shapes)) if shapes else None

    def matches(self, host: str) -> bool:
        """Return whether one of them matches."""
        return host in self._names or (self._pattern is not None and self._pattern.match(host) is not None)

    def unmatched(self, hosts: Iterable[str]) -> list[str]:
        """Return the globs that match none of the hosts."""
        left = {glob: re.compile(translate(glob)).match for glob in self.globs}
        for host in hosts:
            if not left:
                break
            for glob in [glob for glob, match in left.items() if match(host)]:
                del left[glob]
        return [glob for glob in self.globs if glob in left]
