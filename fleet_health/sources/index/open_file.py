"""An open file of lines and our place in it: always just behind a newline, and sure to be the same place still.

Half a line is simply read again when it has become a whole one; there is no other state to lose.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from fleet_health.parsing.rejection import Rejection

LINE_LIMIT = 1 << 20
"""A longer line is skipped, and counted."""
_OVERLONG = Rejection(f"line longer than {LINE_LIMIT} bytes", "")

# Each block costs a hop to a thread and back, where some thousand rows are parsed at once.
_READ_SIZE = 1 << 20
_FINGERPRINT_SIZE = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Gives up to so many bytes (second) from an offset (first)."""

Entry: TypeAlias = Callable[[ReadAt, int], int]
"""Gives the offset of the line to begin with, in a file that can be read so and has the size given."""


def from_start(_read_at: ReadAt, _size: int) -> int:
    """Begin with the first line."""
    return 0


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file: an offset, and the bytes just before it, by which it is known again."""

    offset: int
    fingerprint: bytes


def behind(place: Place, otherwise: Entry) -> Entry:
    """Begin at a place if the file has it, as a copy of the file that it was remembered in; otherwise as given."""

    def entry(read_at: ReadAt, size: int) -> int:
        length = len(place.fingerprint)
        has_place = size >= place.offset and read_at(place.offset - length, length) == place.fingerprint
        return place.offset if has_place else otherwise(read_at, size)

    return entry


@dataclass(frozen=True, slots=True)
class Block:
    """What one read gave.

    Attributes:
        lines: Whole lines, each ended by a newline; empty if there was nothing new.
        is_end: True if everything that there was has been read.
        overlong: How many lines were skipped because they exceed `LINE_LIMIT`.
        event: What happened to the file, for the log; empty if nothing did.

    """

    lines: bytes = b""
    is_end: bool = False
    overlong: int = 0
    event: str = ""

    @property
    def rejections(self) -> list[Rejection]:
        """What was skipped."""
        return [_OVERLONG] * self.overlong


class OpenFile:
    """An open file, and our place in it."""

    def __init__(self, fd: int, entry: Entry) -> None:
        self._fd = fd
        self._entry = entry
        self._offset = 0
        self._fingerprint = b""  # the bytes just before the offset
        self._seen = (0, 0)  # size and mtime when the fingerprint was last compared
        self._is_skipping = False  # in the middle of an overlong line
        self.begin()

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def state(self) -> os.stat_result:
        """Return how it is: size, inode, links."""
        return os.fstat(self._fd)

    @property
    def place(self) -> Place:
        """Where we are."""
        return Place(self._offset, self._fingerprint)

    def number(self) -> tuple[int, int]:
        """Return its device, and its inode number there."""
        state = self.state()
        return state.st_dev, state.st_ino

    def head(self) -> bytes:
        """Return the first bytes. While a file is only appended to, what it began with it still begins with."""
        return os.pread(self._fd, _FINGERPRINT_SIZE, 0)

    def damage(self) -> str:
        """Return whether the file was truncated or rewritten since the last read, so that our offset is void."""
        state = self.state()
        if state.st_size < self._offset:
            return "truncated"
        seen = (state.st_size, state.st_mtime_ns)
        if seen != self._seen:
            length = len(self._fingerprint)
            if os.pread(self._fd, length, self._offset - length) != self._fingerprint:
                return "rewritten"
            self._seen = seen
        return ""

    def read_on(self, event: str = "") -> Block:
        """Read whole lines from our place on."""
        size = _READ_SIZE
        data = os.pread(self._fd, size, self._offset)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == size:
            size = LINE_LIMIT
            data = os.pread(self._fd, size, self._offset)
            end = data.rfind(b"\n") + 1
        start = 0
        if self._is_skipping:
            start = data.find(b"\n") + 1
            if start == 0:
                self._skip(data)
                return Block(is_end=not data, event=event)
            self._is_skipping = False
        elif not end and len(data) == LINE_LIMIT:
            self._skip(data)
            return Block(overlong=1, event=event)
        if self._offset == 0 and data.startswith(_BYTE_ORDER_MARK):
            start = len(_BYTE_ORDER_MARK)
        self._advance(data[:end])
        return Block(data[start:end], len(data) < size, event=event)

    def rest(self) -> bytes:
        """Return what stands behind the last newline."""
        return b"" if self._is_skipping else os.pread(self._fd, LINE_LIMIT, self._offset)

    def begin(self) -> None:
        """Go to where the file is entered."""
        self._offset = self._entry(lambda offset, count: os.pread(self._fd, count, offset), self.state().st_size)
        length = min(self._offset, _FINGERPRINT_SIZE)
        self._fingerprint = os.pread(self._fd, length, self._offset - length)
        self._seen = (0, 0)
        self._is_skipping = False

    def _skip(self, data: bytes) -> None:
        # A power cut leaves a run of NUL, however long, and the next row is appended right behind it.
        nul_end = data.rfind(b"\0") + 1
        self._is_skipping = not nul_end
        self._advance(data[:nul_end] if nul_end else data)

    def _advance(self, data: bytes) -> None:
        self._offset += len(data)
        self._fingerprint = (self._fingerprint + data)[-_FINGERPRINT_SIZE:]


def last_line(file: OpenFile) -> bytes:
    """Return what stands behind the last newline, as a line: it will get no newline. Empty if there is nothing."""
    rest = file.rest()
    return rest + b"\n" if rest else b""
