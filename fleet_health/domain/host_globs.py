"""Hosts by their names' shape: `*`, `?` and `[…]` as in the shell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def is_plain(glob: str) -> bool:
    """Say whether a glob can only match the host that is named so."""
    return not any(character in glob for character in "*?[")


@dataclass(frozen=True)
class HostGlobs:
    """Some globs, each matched against whole names, case-sensitively."""

    globs: tuple[str, ...] = ()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(translate, self.globs)))

    def matches(self, host: str) -> bool:
        """Say whether one of them matches."""
        return bool(self.globs) and self._pattern.match(host) is not None

    def unmatched(self, hosts: Iterable[str]) -> list[str]:
        """Give the globs that match none of the hosts."""
        left = {glob: re.compile(translate(glob)).match for glob in self.globs}
        for host in hosts:
            if not left:
                break
            for glob in [glob for glob, match in left.items() if match(host)]:
                del left[glob]
        return [glob for glob in self.globs if glob in left]
