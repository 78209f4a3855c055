"""What befalls journal files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_unknown(path: Path) -> None:
    """Set an incompatible flag that no version knows."""
    with path.open("r+b") as file:
        file.seek(12)
        flags = file.read(1)[0]
        file.seek(12)
        file.write(bytes([flags | 0x80]))
