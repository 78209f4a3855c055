"""The service as it is, on a disk that takes three seconds for a read of the index; to be run as the unit's program."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from fleet_health.__main__ import main
from fleet_health.sources.index.tail import Tail

if TYPE_CHECKING:
    from fleet_health.sources.index.open_file import Block


def slow_down() -> None:
    """Make each read take its time; reads are made in a thread."""
    read = Tail.read

    def read_slowly(tail: Tail) -> Block:
        time.sleep(3.0)
        return read(tail)

    Tail.read = read_slowly  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    slow_down()
    sys.exit(main(["run"]))
