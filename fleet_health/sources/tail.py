r"""Following a file of lines at a path: what has been appended, through everything that can happen to the file.

The writer appends whole lines, mostly. Meanwhile the file may be

* **renamed**, and another created at the path: the old one is read to its end, then the new one from its start. The old
  one is still followed until there is a new one, and for a minute more, for its writer may not have noticed yet.
* **truncated** in place: it is read again from its start. What was written and cut off between two reads is lost.
  A file that has regrown past our place meanwhile does not *look* truncated; so the bytes just before our place are
  remembered, and compared before reading on.
* **absent**, at first or for a while, or not readable.

A `Tail` may be used from any thread, but only from one at a time; it sees to that itself.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from fleet_health.errors import SourceFailing, SourceMissing, SourceRefused
from fleet_health.sources.open_file import Block, Entry, OpenFile, from_start, last_block

if TYPE_CHECKING:
    from pathlib import Path

_REPLACED_TIME = 60.0
_HIDDEN_PLACES = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
_GZIP_MAGIC = b"\x1f\x8b"


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
        self._file: OpenFile | None = None
        self._replaced: OpenFile | None = None
        self._replaced_until = 0.0

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
            return b"" if self._file is None else self._file.rest()

    def close(self) -> None:
        """Close everything that is open."""
        with self._lock:
            self._close()

    def _read(self) -> Block:
        if self._replaced is not None:
            block = self._read_replaced(self._replaced)
            if block.lines or not block.is_end:
                return replace(block, is_end=False)
        if self._file is None:
            self._file = self._open()
            return self._file.read_on("opened")
        block = self._file.read_on(self._file.check_in_place())
        return self._look_at_path(self._file, block) if block.is_end else block

    def _look_at_path(self, file: OpenFile, block: Block) -> Block:
        """See whether the file that has been read to its end is still the one at the path; if not, leave it."""
        current, own = self._stat_path(), file.state()
        if current is None and own.st_nlink:
            return block  # renamed, and nothing in its place yet
        if current is not None and os.path.samestat(current, own):
            return block
        if block.lines:
            return replace(block, is_end=False)  # what may have been written meanwhile comes first
        if current is None:
            self._file = None
            return last_block(file, "deleted")
        if self._replaced is not None:  # replaced twice within the time that its writer has
            earlier, self._replaced = self._replaced, None
            return last_block(earlier)
        self._file, self._replaced, self._replaced_until = None, file, time.monotonic() + _REPLACED_TIME
        return Block(event="replaced")

    def _read_replaced(self, file: OpenFile) -> Block:
        """Read what the writer of a file that was replaced still adds to it, for a while."""
        block = file.read_on(file.check_in_place())
        if block.lines or not block.is_end or time.monotonic() < self._replaced_until:
            return block
        self._replaced = None
        return last_block(file)

    def _stat_path(self) -> os.stat_result | None:
        try:
            return self.path.stat()
        except FileNotFoundError:
            return None

    def _open(self) -> OpenFile:
        try:
            # Without O_NONBLOCK a FIFO at the path would hang us until somebody writes to it.
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except PermissionError:
            raise SourceRefused(
                f"{self.path}: permission denied; let the user of this service read it, and enter its directory"
                f"{_hidden(self.path)}"
            ) from None
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceMissing(f"{self.path}: {error.strerror}{_hidden(self.path)}") from None
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ELOOP):
                raise
            raise SourceRefused(f"{self.path}: expected a regular file: {error.strerror}") from None
        try:
            _refuse_unreadable(self.path, fd)
            return OpenFile(fd, self._entry)
        except BaseException:
            os.close(fd)
            raise

    def _close(self) -> None:
        for file in (self._file, self._replaced):
            if file is not None:
                file.close()
        self._file = self._replaced = None


def _refuse_unreadable(path: Path, fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        raise SourceRefused(f"{path}: expected a regular file, found {_kind(mode)}")
    if os.pread(fd, len(_GZIP_MAGIC), 0) == _GZIP_MAGIC:
        raise SourceRefused(f"{path}: expected lines of JSON, found a gzip file")


def _hidden(path: Path) -> str:
    """Say what else may be the matter with a path that a unit's hardening can hide."""
    # INVOCATION_ID is what systemd gives to every service; by hand nothing is hidden.
    if "INVOCATION_ID" not in os.environ or not any(path.is_relative_to(place) for place in _HIDDEN_PLACES):
        return ""
    return "; ProtectHome= or PrivateTmp= in the unit hides such places from a service: see drop-ins/hidden-index.conf"


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
