"""Sort any number of observations by time, in bounded memory.

Observations arrive nearly in order. They are sorted in runs, which are written to a temporary file. Consecutive runs
form a chain, and the chains, mostly one for each source, are merged.
"""

from __future__ import annotations

import heapq
import os
import tempfile
from array import array
from bisect import bisect_left
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Self, TypeAlias

from fleet_health.errors import ScratchUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.model.instant import Instant

Item: TypeAlias = tuple[int, int]
"""An instant, and a number that encodes the observation."""

_RUN = 100_000
_BLOCK = 4_096
_ITEM_SIZE = 2 * array("q").itemsize


@dataclass(slots=True)
class _Chain:
    """Consecutive runs, each of which begins no earlier than the previous one ends.

    Attributes:
        last_at: The instant of the last item.
        runs: The offset of each run in the file, its length, and the instant of its last item.

    """

    last_at: Instant
    runs: list[tuple[int, int, Instant]] = field(default_factory=list)


class TimeOrder:
    """Takes items in any order, and returns them in order of time. Items of one instant keep their order of arrival.

    Raises:
        ScratchUnavailable: On creation, or when items are added: the disk is full.

    """

    def __init__(self, run_length: int = _RUN) -> None:
        self._run_length = run_length
        self._run: list[Item] = []
        self._chains: list[_Chain] = []
        self._size = 0
        with room_to_work():
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # closing retries a failed write
            self._file.close()

    def add(self, items: list[Item]) -> None:
        """Add items."""
        self._run += items
        if len(self._run) >= self._run_length:
            self.flush()

    def flush(self) -> None:
        """End the run, so that items of another source do not disturb its order."""
        if not self._run:
            return
        run, self._run = self._run, []
        run.sort(key=_at)
        content = array("q", bytes(len(run) * _ITEM_SIZE))
        content[0::2] = array("q", [at for at, _ in run])
        content[1::2] = array("q", [number for _, number in run])
        chain = next((one for one in self._chains if one.last_at <= run[0][0]), None)
        if chain is None:
            chain = _Chain(run[-1][0])
            self._chains.append(chain)
        chain.runs.append((self._size, len(run), run[-1][0]))
        chain.last_at = run[-1][0]
        with room_to_work():
            self._file.seek(self._size)
            self._file.write(content.tobytes())
            self._file.flush()
        self._size += len(run) * _ITEM_SIZE

    def __iter__(self) -> Iterator[Item]:
        return self.since(None)

    def since(self, at: Instant | None) -> Iterator[Item]:
        """Yield the items from an instant on; all for None. Several processes may do so at a time."""
        self.flush()
        if len(self._chains) == 1:
            return self._read(self._chains[0], at)
        return heapq.merge(*(self._read(chain, at) for chain in self._chains), key=_at)

    def __getstate__(self) -> tuple[list[_Chain], int]:
        self.flush()
        return self._chains, self._size

    def __setstate__(self, state: tuple[list[_Chain], int]) -> None:
        self._chains, self._size = state

    def adopt(self, other: TimeOrder) -> None:
        """Take over the runs that another process has written to the shared file. This object must be empty."""
        self._chains, self._size = other._chains, other._size

    def _read(self, chain: _Chain, since: Instant | None) -> Iterator[Item]:
        fd = self._file.fileno()
        for begin, length, last_at in chain.runs:
            if since is not None and last_at < since:
                continue
            for place in range(0, length, _BLOCK):
                size = min(_BLOCK, length - place) * _ITEM_SIZE
                block = array("q", os.pread(fd, size, begin + place * _ITEM_SIZE))
                instants = block[0::2]
                first = 0 if since is None or instants[0] >= since else bisect_left(instants, since)
                yield from zip(instants[first:], block[2 * first + 1 :: 2], strict=True)


@contextmanager
def room_to_work() -> Iterator[None]:
    """Raise ScratchUnavailable if a temporary file cannot be written during the context."""
    try:
        yield
    except OSError as error:
        raise ScratchUnavailable(
            f"the past cannot be sorted: {error.strerror or error}; it needs {_ITEM_SIZE} bytes for each observation in"
            " a temporary directory; set TMPDIR to use another one"
        ) from error


def _at(item: Item) -> Instant:
    return item[0]
