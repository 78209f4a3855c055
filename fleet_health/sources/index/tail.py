r"""Following a file of lines at a path: what has been appended, through everything that can happen to the file.

The writer appends whole lines, mostly. Meanwhile the file may be

* **renamed**, and another created at the path: the old one is read to its end, then the new one from its start. The old
  one is still followed until there is a new one, and for a minute more, for its writer may not have noticed yet.
* **truncated** in place: it is read again from its start, and what was cut off before it was read, from the copy that
  was made of it. A file that has regrown past our place meanwhile does not *look* truncated; so the bytes just before
  our place are remembered, and compared before reading on.
* **absent**, at first or for a while, or not readable.

Any of this may happen several times between two looks, or before the first one. So whenever the file is another one, or
was truncated, the files that the path has been rotated to are gone through, and those read that were not seen before.

A `Tail` may be used from any thread, but only from one at a time; it sees to that itself.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from fleet_health.errors import SourceFailing, SourceMissing, SourceRefused
from fleet_health.files.safe_files import led_astray
from fleet_health.sources.index.open_file import Block, Entry, OpenFile, behind, from_start, last_line

Rotated: TypeAlias = Callable[[], Sequence[Path]]
"""Gives the files that a path has been rotated to, as far as they matter; latest last."""

_LEFT_TIME = 60.0
_HIDDEN_PLACES = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class _Left:
    """A file that is not at the path any more, and until when its writer may still add to it."""

    file: OpenFile
    until: float


class Tail:
    """Reads on from where it stopped in the file at a path, whichever file that is."""

    def __init__(self, path: Path, entry: Entry = from_start, rotated: Rotated = tuple) -> None:
        """Take a path; the file need not be there yet.

        Args:
            path: Where the file is.
            entry: Decides where to begin in a file that was not read before, or has been rewritten.
            rotated: Tells which files it has been rotated to.

        """
        self.path = path
        self._entry = entry
        self._rotated = rotated
        self._lock = threading.Lock()
        self._file: OpenFile | None = None
        self._left: list[_Left] = []
        # The rotated files that have been read, or are. A number is soon used again, so the first bytes tell, too.
        self._seen: dict[tuple[int, int], bytes] = {}

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
        """Return what stands behind the last newlines: lines that are not ended yet, or never will be."""
        with self._lock:
            files = [left.file for left in self._left] + ([] if self._file is None else [self._file])
            return b"".join(map(last_line, files))

    def close(self) -> None:
        """Close everything that is open."""
        with self._lock:
            self._close()

    def _read(self) -> Block:
        for left in list(self._left):
            block = self._read_left(left)
            if block.lines or not block.is_end:
                return replace(block, is_end=False)
        if self._file is None:
            # In this order: what is rotated away after it was opened is not another file.
            self._file = self._open()
            self._take_up_rotated(self._entry)
            return Block(event="opened")
        if damage := self._file.damage():
            self._take_up_rotated(behind(self._file.place, otherwise=self._entry))
            self._file.begin()
            return Block(event=damage)
        block = self._file.read_on()
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
        self._file = None
        if current is None:
            lines = last_line(file)
            file.close()
            return Block(lines, event="deleted")
        self._leave(file)
        return Block(event="replaced")

    def _leave(self, file: OpenFile) -> None:
        self._left.append(_Left(file, time.monotonic() + _LEFT_TIME))
        self._seen[file.number()] = file.head()

    def _read_left(self, left: _Left) -> Block:
        """Read what the writer of a file that was replaced still adds to it, for a while."""
        is_damaged = bool(left.file.damage())
        if not is_damaged:
            block = left.file.read_on()
            if block.lines or not block.is_end or time.monotonic() < left.until:
                return block
        self._left.remove(left)
        lines = b"" if is_damaged else last_line(left.file)
        left.file.close()
        return Block(lines, is_end=True)

    def _take_up_rotated(self, entry: Entry) -> None:
        """Go on with the files that the path has been rotated to since this was last asked."""
        seen, self._seen = self._seen, {}
        for path in self._rotated():
            with suppress(OSError, SourceRefused):  # it may be gone by now, or closed to us; the file itself is not
                file = _opened(path, entry)
                number, head = file.number(), file.head()
                if number in seen and head.startswith(seen[number]):
                    self._seen[number] = head
                    file.close()
                elif self._file is not None and number == self._file.number():
                    file.close()
                else:
                    self._leave(file)

    def _stat_path(self) -> os.stat_result | None:
        try:
            return self.path.stat()
        except FileNotFoundError:
            return None

    def _open(self) -> OpenFile:
        try:
            return _opened(self.path, self._entry)
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

    def _close(self) -> None:
        for file in [self._file, *(left.file for left in self._left)]:
            if file is not None:
                file.close()
        self._file, self._left, self._seen = None, [], {}


def _opened(path: Path, entry: Entry) -> OpenFile:
    # Looked at before it is opened for reading: to open a device or a FIFO may do something, or hang us.
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _refuse_odd(path, os.fstat(found))
        fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(found)
    try:
        if os.pread(fd, len(_GZIP_MAGIC), 0) == _GZIP_MAGIC:
            raise SourceRefused(f"{path}: expected lines of JSON, found a gzip file")  # noqa: TRY301 - to be closed
        return OpenFile(fd, entry)
    except BaseException:
        os.close(fd)
        raise


def _refuse_odd(path: Path, state: os.stat_result) -> None:
    # Lines that are no rows are quoted in our log: root's eyes must not be lent to whoever may put a link there.
    if problem := led_astray(path, state):
        raise SourceRefused(f"{path}: {problem}")
    if not stat.S_ISREG(state.st_mode):
        raise SourceRefused(f"{path}: expected a regular file, found {_kind(state.st_mode)}")


def _hidden(path: Path) -> str:
    """Return what else may be the matter with a path that a unit's hardening can hide."""
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
