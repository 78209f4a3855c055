r"""Following a file of lines at a path: what has been appended, through everything that can happen to the file.

The writer appends whole lines, mostly. Meanwhile the file may be

* **renamed**, and another created at the path: the old one is read to its end, then the new one from its start. Until
  there is a new one the old one is still followed, for its writer may not have noticed yet.
* **truncated** in place: it is read again from its start. What was written and cut off between two reads is lost.
  A file that has regrown past our place meanwhile does not *look* truncated; so the bytes just before our place are
  remembered, and compared before reading on.
* **absent**, at first or for a while, or not readable.

The place is always just behind a newline, so half a line is simply read again when it has become a whole one. There
is no other state to lose. A `Tail` may be used from any thread, but only from one at a time; it sees to that itself.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fleet_health.errors import SourceFailing, SourceMissing, SourceRefused

if TYPE_CHECKING:
    from pathlib import Path

LINE_LIMIT = 1 << 20
"""A longer line is skipped, and counted."""

_READ_SIZE = 256 << 10
_FINGERPRINT_SIZE = 256

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Gives up to so many bytes (second) from an offset (first)."""

Entry: TypeAlias = Callable[[ReadAt, int], int]
"""Gives the offset of the line to begin with, in a file that can be read so and has the size given."""


def from_start(_read_at: ReadAt, _size: int) -> int:
    """Begin with the first line."""
    return 0


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


class Tail:
    """Reads on from where it stopped in the file at a path, whichever file that is."""

    def __init__(self, path: Path, entry: Entry = from_start) -> None:
        """Take a path; the file need not be there yet.

        Args:
            path: Where the file is.
            entry: Decides where to begin in a file that was not read before, or has been rewritten.

        """
        self.path = path
        self._entry = entry
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._offset = 0
        self._fingerprint = b""  # the bytes just before the offset
        self._seen = (0, 0)  # size and mtime when the fingerprint was last compared
        self._is_skipping = False  # in the middle of an overlong line

    def read(self) -> Block:
        """Read on: up to some hundred kilobytes of whole lines.

        Raises:
            SourceUnavailable: There is no file that can be read, now.

        """
        with self._lock:
            try:
                return self._read()
            except OSError as error:
                self._close()
                raise SourceFailing(f"{self.path}: {error.strerror}") from error

    def rest(self) -> bytes:
        """Give what stands behind the last newline: a line that is not ended yet, or never will be."""
        with self._lock:
            return b"" if self._fd is None or self._is_skipping else os.pread(self._fd, LINE_LIMIT, self._offset)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _read(self) -> Block:
        fd = self._fd
        if fd is None:
            return self._read_on(self._open(), "opened")
        event = self._check_in_place(fd)
        block = self._read_on(fd, event)
        if block.lines or not block.is_end or event:
            return block
        current = self._stat_path()
        own = os.fstat(fd)
        if current is None:
            if own.st_nlink == 0:
                return self._leave(fd, "deleted")
            return block  # renamed, and nothing in its place yet
        if (current.st_dev, current.st_ino) == (own.st_dev, own.st_ino):
            return block
        # Rows may have been written between our last read and the rename; nothing comes after it but by a writer
        # that has not noticed, and that one is heard until the new file appears.
        block = self._read_on(fd, "")
        return block if block.lines or not block.is_end else self._leave(fd, "replaced")

    def _leave(self, fd: int, event: str) -> Block:
        """Close a file that has been read to its end. A last line without newline can get none any more."""
        last = b"" if self._is_skipping else os.pread(fd, LINE_LIMIT, self._offset)
        self._close()
        return Block(last + b"\n" if last else b"", is_end=False, event=event)

    def _check_in_place(self, fd: int) -> str:
        """Go back to the start if the open file was truncated or rewritten since the last read."""
        state = os.fstat(fd)
        if state.st_size < self._offset:
            self._begin(fd)
            return "truncated"
        seen = (state.st_size, state.st_mtime_ns)
        if seen != self._seen:
            length = len(self._fingerprint)
            if os.pread(fd, length, self._offset - length) != self._fingerprint:
                self._begin(fd)
                return "rewritten"
            self._seen = seen
        return ""

    def _read_on(self, fd: int, event: str) -> Block:
        """Read whole lines from our place on."""
        size = _READ_SIZE
        data = os.pread(fd, size, self._offset)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == size:
            size = LINE_LIMIT
            data = os.pread(fd, size, self._offset)
            end = data.rfind(b"\n") + 1
        start, overlong = 0, 0
        if self._is_skipping:
            if not data:
                return Block(is_end=True, event=event)
            start = data.find(b"\n") + 1
            if start == 0:
                self._advance(data)
                return Block(event=event)
            self._is_skipping = False
        elif not end and len(data) == LINE_LIMIT:
            self._is_skipping = True
            self._advance(data)
            return Block(overlong=1, event=event)
        if self._offset == 0 and data.startswith(_BYTE_ORDER_MARK):
            start = len(_BYTE_ORDER_MARK)
        is_end = len(data) < size
        self._advance(data[:end])
        return Block(data[start:end], is_end, overlong, event)

    def _advance(self, data: bytes) -> None:
        self._offset += len(data)
        self._fingerprint = (self._fingerprint + data)[-_FINGERPRINT_SIZE:]

    def _begin(self, fd: int) -> None:
        """Go to where a file is entered."""
        size = os.fstat(fd).st_size
        self._offset = self._entry(lambda offset, count: os.pread(fd, count, offset), size)
        length = min(self._offset, _FINGERPRINT_SIZE)
        self._fingerprint = os.pread(fd, length, self._offset - length)
        self._seen = (0, 0)
        self._is_skipping = False

    def _stat_path(self) -> os.stat_result | None:
        try:
            return self.path.stat()
        except FileNotFoundError:
            return None

    def _open(self) -> int:
        try:
            # Without O_NONBLOCK a FIFO at the path would hang us until somebody writes to it.
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except PermissionError:
            raise SourceRefused(
                f"{self.path}: permission denied; let the user of this service read it, and enter its directory"
            ) from None
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceMissing(f"{self.path}: {error.strerror}") from None
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ELOOP):
                raise
            raise SourceRefused(f"{self.path}: expected a regular file: {error.strerror}") from None
        self._fd = fd
        try:
            _refuse_unreadable(self.path, fd)
            self._begin(fd)
        except BaseException:
            self._close()
            raise
        return fd

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _refuse_unreadable(path: Path, fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        raise SourceRefused(f"{path}: expected a regular file, found {_kind(mode)}")
    if os.pread(fd, len(_GZIP_MAGIC), 0) == _GZIP_MAGIC:
        raise SourceRefused(f"{path}: expected lines of JSON, found a gzip file")


def _kind(mode: int) -> str:
    for is_kind, name in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    ):
        if is_kind(mode):
            return name
    return "something else"
