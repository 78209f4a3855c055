"""Format the rotated files of the index that could not be read, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def unread_lines(unread: Mapping[Path, str]) -> Iterator[str]:
    """Yield a line for each rotated file of the index that could not be read."""
    yield from (f"not read: {printable(str(path))}: {printable(reason)}" for path, reason in sorted(unread.items()))


def unread_rows(unread: Mapping[Path, str]) -> list[dict[str, str]]:
    """Return an object for each rotated file of the index that could not be read."""
    return [{"file": str(path), "reason": reason} for path, reason in sorted(unread.items())]
