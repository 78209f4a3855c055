"""An open file of lines with a read position, which is always just after a line and verified before each read.

An unfinished line is read again when it is complete, so there is no other state. A complete row that has been at the
end for some seconds is read without its newline, because some receivers write the newline only before the next row.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from fleet_health.files.unpacking import Unpacked
from fleet_health.parsing.index_row import is_whole_row
from fleet_health.parsing.rejection import Rejection

LINE_LIMIT = 1 << 20
"""The longest line in bytes. Longer lines are skipped and counted."""
STANDING_S = 2.0
"""The number of seconds after which a complete row without a newline is read."""
_OVERLONG = Rejection(f"line longer than {LINE_LIMIT} bytes", "")

# Each block costs a switch to a thread and back, so thousands of rows are parsed at once.
_READ_SIZE = 1 << 20
_FINGERPRINT_SIZE = 256
# How many first bytes distinguish files, which may all begin with the same header.
_HEAD_SIZE = 4096
# A line of at least this length is unlikely to be in another file by chance.
_SHORTEST_MARK = 32
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Returns at most a number of bytes (second argument) from an offset (first)."""

Entry: TypeAlias = Callable[[ReadAt, int], int]
"""Returns the offset of the first line to read, given how to read the file, and its size."""


def from_start(_read_at: ReadAt, _size: int) -> int:
    """Return the offset of the first line."""
    return 0


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file: an offset, and the bytes just before it, which identify the position."""

    offset: int
    fingerprint: bytes

    def is_in(self, read_at: ReadAt, size: int) -> bool:
        """Return whether a file has the same bytes before the offset."""
        length = len(self.fingerprint)
        return size >= self.offset and read_at(self.offset - length, length) == self.fingerprint


def behind(place: Place, otherwise: Entry) -> Entry:
    """Return an entry at a place, for files that contain it, such as copies; for other files, `otherwise`."""

    def entry(read_at: ReadAt, size: int) -> int:
        return place.offset if place.is_in(read_at, size) else otherwise(read_at, size)

    return entry


@dataclass(frozen=True, slots=True)
class Block:
    """The result of one read.

    Attributes:
        lines: Complete lines, each with its newline; empty if there are no new ones.
        is_end: Whether the end was reached.
        overlong: The number of lines that were skipped because they exceed `LINE_LIMIT`.
        event: The change of the file, for the log; may be empty.
        is_again: Whether the same lines were returned before, from a file that this one has replaced, so that they must
            not be counted again.

    """

    lines: bytes = b""
    is_end: bool = False
    overlong: int = 0
    event: str = ""
    is_again: bool = False

    @property
    def rejections(self) -> list[Rejection]:
        """A rejection for each line that was skipped."""
        return [_OVERLONG] * self.overlong


class OpenFile:
    """An open file with a read position, which for a compressed file is valid only after `begin`."""

    def __init__(self, fd: int, entry: Entry, packing: str = "") -> None:
        self._fd = fd
        self._unpacked = Unpacked(fd, packing) if packing else None
        self._entry = entry
        self._offset = 0
        self._fingerprint = b""  # the bytes just before the offset
        self._seen: tuple[int, int] | None = None  # size and mtime when the fingerprint was last compared
        self._is_skipping = False  # in the middle of an overlong line
        self._is_unended = False  # the position is after a row whose newline has not been written yet
        self._end_since = (0, 0.0)  # the offset of the end, and since when it has been there, by the monotonic clock
        self._known_until = 0  # lines before this offset were already read from another file
        self._nul_end = (0, 0), 0  # size and mtime, and up to where there is nothing but NUL bytes since
        if not packing:
            self.begin()

    def close(self) -> None:
        """Close the file."""
        if self._unpacked is not None:
            self._unpacked.close()
        os.close(self._fd)

    @property
    def is_packed(self) -> bool:
        """Whether it is compressed."""
        return self._unpacked is not None

    def state(self) -> os.stat_result:
        """Return the state of the file: size, inode, links."""
        return os.fstat(self._fd)

    @property
    def place(self) -> Place:
        """The read position."""
        return Place(self._offset, self._fingerprint)

    def number(self) -> tuple[int, int]:
        """Return the device and the inode number of the file."""
        state = self.state()
        return state.st_dev, state.st_ino

    def head(self) -> bytes:
        """Return the first bytes, which stay the same while a file is only appended to."""
        return os.pread(self._fd, _HEAD_SIZE, 0)

    def end(self) -> Place:
        """Return the end of the file as a position in it."""
        size = self.state().st_size
        length = min(size, _FINGERPRINT_SIZE)
        return Place(size, self._read_at(size - length, length))

    def has(self, place: Place) -> bool:
        """Return whether the file has the bytes before a position of another one, at the same offset."""
        return place.is_in(self._read_at, self.state().st_size)

    def content_head(self) -> bytes:
        """Return the first bytes of the uncompressed content. For a compressed file, call this before reading it."""
        if self._unpacked is None:
            return self.head()
        head = self._unpacked.read_at(0, _HEAD_SIZE)
        self._unpacked.close()  # frees the process and the buffer until it is read
        return head

    def damage(self) -> str:
        """Return how the read position became invalid since the last read: `truncated` or `rewritten`; else empty."""
        if self.is_packed:
            return ""
        state = self.state()
        if state.st_size < self._offset:
            return "truncated"
        # Checked even if size and time are unchanged, because many file systems keep time in steps of up to two
        # seconds.
        if not self.has(self.place):
            return "rewritten"
        self._seen = (state.st_size, state.st_mtime_ns)
        return ""

    def may_have_begun_anew(self) -> bool:
        """Return whether the file changed since the last read, and may be another file that begins with the same lines.

        A truncation is not visible at position 0, or just after a header that all files have.
        """
        state, is_near_begin = self.state(), self._offset < _HEAD_SIZE
        return is_near_begin and self._seen is not None and (state.st_size, state.st_mtime_ns) != self._seen

    def read_on(self, event: str = "") -> Block:
        """Read complete lines from the read position on."""
        is_again = self._offset < self._known_until
        size = min(_READ_SIZE, self._known_until - self._offset) if is_again else _READ_SIZE
        data = self._read_at(self._offset, size)
        end = data.rfind(b"\n") + 1
        has_stood = self._has_stood(self._offset + len(data))
        if not end and len(data) == size:
            size = LINE_LIMIT
            data = self._read_at(self._offset, size)
            end = data.rfind(b"\n") + 1
        start = 0
        if self._is_skipping:
            start = data.find(b"\n") + 1
            if start == 0:
                self._skip(data)
                return Block(is_end=not data, event=event, is_again=is_again)
            self._is_skipping = False
        elif not end and len(data) == LINE_LIMIT:
            if data.endswith(b"\0") and not self.is_packed:
                return replace(self._skip_nul(len(data.rstrip(b"\0"))), event=event, is_again=is_again)
            self._skip(data)
            return Block(overlong=1, event=event, is_again=is_again)
        elif self._is_unended:
            start = len(data) - len(data.removeprefix(b"\r").removeprefix(b"\n"))
        if self._offset == 0 and data.startswith(_BYTE_ORDER_MARK):
            start = len(_BYTE_ORDER_MARK)
        if has_stood and not end and is_whole_row(data[start:]):
            data = data.rstrip(b"\0")  # later rows may be written into a run of NUL bytes
            self._advance(data)
            self._is_unended = True
            return Block(data[start:] + b"\n", is_end=True, event=event, is_again=is_again)
        self._is_unended = self._is_unended and not end
        is_end, data = len(data) < size, data[:end]
        self._advance(data)
        return Block(data[start:], is_end, event=event, is_again=is_again)

    def rest(self) -> bytes:
        """Return the unfinished line after the last newline."""
        if self._is_skipping:
            return b""
        rest = self._read_at(self._offset, LINE_LIMIT).rstrip(b"\0")
        return b"" if self._is_unended and not rest.strip(b"\r\n") else rest

    def begin(self) -> None:
        """Go to the first line to read."""
        self._go_to(self._entry(self._read_at, sys.maxsize if self.is_packed else self.state().st_size))
        self._seen = None
        self._is_skipping = self._is_unended = False
        self._known_until = 0

    def recognize(self, place: Place) -> None:
        """Treat lines before a place in another file as already read, if this file contains that place too.

        A rewritten file usually has the lines of the old one, even if some lines were removed.
        """
        size = self.state().st_size
        if not place.fingerprint or self.is_packed:
            return
        if place.is_in(self._read_at, size):
            self._known_until = place.offset
            return
        lines = reversed(place.fingerprint.splitlines(keepends=True))
        for mark in (place.fingerprint, *(line for line in lines if len(line) >= _SHORTEST_MARK)):
            if end := self._last_end_of(mark, size):
                self._known_until = end
                return

    def _last_end_of(self, mark: bytes, size: int) -> int:
        """Return the end of the last occurrence of some bytes after the read position; 0 if there is none."""
        end = size
        while end > self._offset:
            begin = max(self._offset, end - _READ_SIZE)
            at = self._read_at(begin, end - begin + len(mark) - 1).rfind(mark)
            if at >= 0:
                return begin + at + len(mark)
            end = begin
        return 0

    def _read_at(self, offset: int, count: int) -> bytes:
        return os.pread(self._fd, count, offset) if self._unpacked is None else self._unpacked.read_at(offset, count)

    def _has_stood(self, end: int) -> bool:
        """Return whether an offset has been the end of the file for `STANDING_S` seconds."""
        now, since = time.monotonic(), self._end_since
        if since[0] != end:
            self._end_since = end, now
        return since[0] == end and now - since[1] >= STANDING_S

    def _skip(self, data: bytes) -> None:
        # A power cut may leave a run of NUL bytes of any length, after which the next row is appended.
        nul_end = data.rfind(b"\0") + 1
        self._is_skipping = not nul_end
        self._advance(data[:nul_end] if nul_end else data)

    def _skip_nul(self, begin: int) -> Block:
        """Search for the end of a run of NUL bytes, a block at a time. Skip it only if other bytes follow it.

        A power cut may leave such a run, and the next row is appended to it. A receiver that allocates space in advance
        writes rows into it.

        Args:
            begin: The number of bytes before it to skip as well, which are a piece of a row unless the rest follows.

        """
        state = self.state()
        known = (state.st_size, state.st_mtime_ns)
        if self._nul_end[0] != known:
            self._nul_end = known, self._offset + begin
        at = self._behind_hole(self._nul_end[1], state.st_size)
        data = self._read_at(at, _READ_SIZE)
        row = data.lstrip(b"\0")
        self._nul_end = known, at + len(data) - len(row)
        if row:
            self._go_to(self._nul_end[1])
            return Block(overlong=1)
        return Block(is_end=not data)

    def _behind_hole(self, offset: int, size: int) -> int:
        """Return the offset of the next data after a hole, which reads as NUL bytes but may be gigabytes long."""
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError as error:
            # ENXIO means that no data follows. Other errors mean that the file system does not report holes.
            return size if error.errno == errno.ENXIO else offset

    def _go_to(self, offset: int) -> None:
        length = min(offset, _FINGERPRINT_SIZE)
        self._offset = offset
        self._fingerprint = self._read_at(offset - length, length)

    def _advance(self, data: bytes) -> None:
        self._offset += len(data)
        self._fingerprint = (self._fingerprint + data[-_FINGERPRINT_SIZE:])[-_FINGERPRINT_SIZE:]


def last_line(file: OpenFile) -> bytes:
    """Return the unfinished line after the last newline, with a newline added; empty if there is none."""
    rest = file.rest()
    return rest + b"\n" if rest else b""
