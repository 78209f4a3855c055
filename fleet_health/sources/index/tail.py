r"""Follow the lines that are appended to the file at a path, whatever happens to the file.

The writer usually appends complete lines. Meanwhile the file may be

* **renamed**, and another created at the path: the old file is read to its end, then the new one from its start. The
  old file is followed until there is a new one, and for a minute more: its writer may not have reopened it yet.
* **truncated** in place: it is read again from its start. Lines that were cut off before they were read are read from
  the rotated copy. A file that has grown beyond the read position again does not *look* truncated, so the bytes just
  before the position are remembered, and compared before each read.
* **rewritten** under another name and renamed to the path: lines that the old file had as well are returned again, as
  their order may differ, and marked as such.
* **absent** or unreadable, at first or for a while. If the file was rotated and there is no new one yet, it is not
  missing: the rotated file is followed.

All this may happen several times between two reads, or before the first one. So whenever the file was replaced or may
have been truncated, all rotated files are checked, including compressed ones, and new ones are read. Files that cannot
be read are recorded in `unread`.

A `Tail` may be used from any thread. A lock ensures that only one thread uses it at a time.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from fleet_health.errors import SourceFailing, SourceForbidden, SourceMissing, SourceRefused
from fleet_health.files.safe_files import led_astray
from fleet_health.files.unpacking import UnpackingError, packing_of
from fleet_health.sources.index.open_file import Block, Entry, OpenFile, Place, behind, from_start, last_line

Rotated: TypeAlias = Callable[[], Sequence[Path]]
"""Returns the rotated files of a path that are recent enough, latest last."""

_LEFT_TIME = 60.0
_NO_PLACE = Place(0, b"")
_HIDDEN_PLACES = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used


@dataclass(frozen=True, slots=True)
class _Left:
    """A file that is no longer at the path.

    Attributes:
        path: The path at which it was found, for messages.
        file: The file.
        until: The end of the time in which its writer may still append to it, by the monotonic clock.

    """

    path: Path
    file: OpenFile
    until: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """The first bytes of a file that is or was read, and the first bytes of its uncompressed content."""

    head: bytes
    content_head: bytes


class Tail:
    """Reads the file at a path from the last read position on, even if the file is replaced."""

    def __init__(self, path: Path, entry: Entry = from_start, rotated: Rotated = tuple) -> None:
        """Take a path, whose file need not exist yet.

        Args:
            path: The path of the file.
            entry: Returns where to begin in a file that was not read before, or was rewritten.
            rotated: Returns the files to which it was rotated.

        """
        self.path = path
        self._entry = entry
        self._rotated = rotated
        self.unread: dict[Path, str] = {}
        """Path -> reason, for each rotated file that could not be read to its end."""
        self._lock = threading.Lock()
        self._file: OpenFile | None = None
        self._left: list[_Left] = []
        self._turn = 0  # how many of `_left` were read to their ends in this round
        # The rotated files that were or are being read. Inode numbers are reused, so the first bytes identify them too.
        self._seen: dict[tuple[int, int], _Seen] = {}
        # The read position in the file that was last at the path, and the first bytes of that file.
        self._last_place = _NO_PLACE
        self._last_head = b""

    def read(self) -> Block:
        """Return the next block of complete lines.

        Raises:
            SourceUnavailable: There is no file that can be read now.

        """
        with self._lock:
            block = None
            try:
                block = self._read()
            except OSError as error:
                self._close()
                raise SourceFailing(f"{self.path}: {error.strerror}") from error
            else:
                return block
            finally:
                if block is None or block.is_end:
                    self._turn = 0

    def rest(self) -> bytes:
        """Return the unfinished last lines of all open files, each with a newline added."""
        with self._lock:
            files = [left.file for left in self._left] + ([] if self._file is None else [self._file])
            return b"".join(map(last_line, files))

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._close()

    def _read(self) -> Block:
        while self._turn < len(self._left):
            left = self._left[self._turn]
            block = self._read_left(left)
            if block.lines or not block.is_end:
                return replace(block, is_end=False)
            if self._turn < len(self._left) and self._left[self._turn] is left:
                self._turn += 1
        if self._file is None:
            return self._open_at_path()
        if self._file.may_have_begun_anew():
            count = len(self._left)
            self._take_up_rotated(self._file.place)
            if len(self._left) > count:
                return Block()
        if damage := self._file.damage():
            place = self._file.place
            self._take_up_rotated(place)
            self._file.begin()
            self._file.recognize(place)
            return Block(event=damage)
        block = self._file.read_on()
        return self._look_at_path(self._file, block) if block.is_end else block

    def _open_at_path(self) -> Block:
        try:
            # Opened before the rotated files are listed, so that it is recognised among them if it is rotated in
            # between.
            self._file = self._open()
        except SourceMissing:
            if not self._take_up_rotated(self._last_place, self._last_head):
                raise
            self._go_on_with_latest()
            return Block(is_end=not self._left and self._file is None)
        self._take_up_rotated(self._last_place, self._last_head)
        if (left := self._left_as(self._file.number())) is not None:
            self._file.close()
            self._file = left.file
        else:
            self._file.recognize(self._last_place)
        return Block(event="opened")

    def _left_as(self, number: tuple[int, int]) -> _Left | None:
        """Remove and return the left file that has come back to the path; None if there is none."""
        for left in self._left:
            if left.file.number() == number:
                self._left.remove(left)
                return left
        return None

    def _look_at_path(self, file: OpenFile, block: Block) -> Block:
        """Check that a file that was read to its end is still at the path. If not, leave it."""
        current, own = self._stat_path(), file.state()
        if current is None and own.st_nlink:
            return self._look_for_latest(file, block)
        if current is not None and os.path.samestat(current, own):
            return block
        if block.lines:
            return replace(block, is_end=False)  # read again first, because more may have been written meanwhile
        self._file, self._last_place, self._last_head = None, file.place, file.head()
        if current is None:
            lines = last_line(file)
            self._seen[file.number()] = _Seen(file.head(), file.head())
            file.close()
            return Block(lines, event="deleted")
        self._leave(self.path, file, file.head())
        return Block(event="replaced")

    def _look_for_latest(self, file: OpenFile, block: Block) -> Block:
        """Check, without a file at the path, that a renamed file was the last one there. If not, leave it."""
        count = len(self._left)
        self._take_up_rotated()
        if len(self._left) == count:
            return block  # there is no later file yet
        self._left.insert(count, _Left(self.path, file, time.monotonic() + _LEFT_TIME))
        self._seen[file.number()] = _Seen(file.head(), file.head())
        self._go_on_with_latest()
        return replace(block, is_end=False)

    def _go_on_with_latest(self) -> None:
        """Follow the file that was last at the path while there is none, because its writer may still have it open."""
        is_plain = bool(self._left) and not self._left[-1].file.is_packed
        self._file = self._left.pop().file if is_plain else None
        self._turn = min(self._turn, len(self._left))

    def _leave(self, path: Path, file: OpenFile, content_head: bytes) -> None:
        self._left.append(_Left(path, file, time.monotonic() + _LEFT_TIME))
        self._seen[file.number()] = _Seen(file.head(), content_head)

    def _read_left(self, left: _Left) -> Block:
        """Read a replaced file for as long as its writer may append to it, or a compressed file to its end."""
        try:
            is_damaged = bool(left.file.damage())
            if not is_damaged:
                block = left.file.read_on()
                is_over = left.file.is_packed or time.monotonic() >= left.until
                if block.lines or not block.is_end or not is_over:
                    return block
            lines = b"" if is_damaged else last_line(left.file)
        except UnpackingError as error:
            self._miss(left.path, error)
            lines = b""
        self._left.remove(left)
        if not left.file.is_packed:
            self._seen[left.file.number()] = _Seen(left.file.head(), left.file.head())
        left.file.close()
        return Block(lines, is_end=True)

    def _plain_heads(self) -> Iterator[tuple[tuple[int, int], bytes]]:
        """Yield the number and the present first bytes of each replaced file that may still be appended to."""
        for left in self._left:
            if not left.file.is_packed:
                yield left.file.number(), left.file.head()

    def _take_up_rotated(self, place: Place = _NO_PLACE, last_head: bytes = b"") -> bool:
        """Start reading the files to which the path was rotated since the last call.

        Args:
            place: The read position at which to begin in a copy of the file.
            last_head: How the file began that was last at the path, if it is not there any more.

        Returns:
            Whether the rotated files include the one that was last at the path; if that is unknown, whether there are
            any.

        """
        (seen, self._seen), (unread, self.unread) = (self._seen, {}), (self.unread, {})
        seen |= {number: _Seen(head, head) for number, head in self._plain_heads()}
        heads = {one.content_head for one in seen.values()}
        is_last_there = False
        for path in self._rotated():
            try:
                file = _opened(path, self._entry, place, may_be_packed=True)
            except FileNotFoundError:
                continue
            except (OSError, SourceRefused) as error:  # the file at the path may still be readable
                self._miss(path, error)
                continue
            number, head = file.number(), file.head()
            known = seen.get(number)
            if is_known := known is not None and head.startswith(known.head):
                content_head = known.content_head if file.is_packed else head
            else:
                try:
                    content_head = file.content_head()
                    # A mirror may have a compressed copy of the file that was at the path, with more rows.
                    may_hold_more = bool(place.offset and last_head) and content_head == last_head
                    is_known = file.is_packed and not may_hold_more and content_head in heads
                    if file.is_packed and not is_known:
                        file.begin()
                except UnpackingError as error:
                    self._miss(path, error)
                    file.close()
                    continue
            is_last_there |= content_head.startswith(last_head)
            if is_known:
                self._seen[number] = _Seen(head, content_head)
                self.unread |= {path: unread[path]} if path in unread else {}
                file.close()
            elif self._is_current(file, content_head):
                file.close()
            else:
                self._leave(path, file, content_head)
        return is_last_there

    def _is_current(self, file: OpenFile, content_head: bytes) -> bool:
        """Return whether a file is the one at the path under another name, or an unfinished copy of it."""
        current = self._file
        if current is None:
            return False
        begins_alike = bool(content_head) and current.head().startswith(content_head)
        return file.number() == current.number() or (begins_alike and (file.is_packed or current.has(file.end())))

    def _miss(self, path: Path, error: OSError | SourceRefused) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{path}: ")
        self.unread[path] = reason or str(error)

    def _stat_path(self) -> os.stat_result | None:
        try:
            return self.path.stat()
        except FileNotFoundError:
            return None

    def _open(self) -> OpenFile:
        try:
            return _opened(self.path, self._entry)
        except PermissionError:
            raise SourceForbidden(
                str(self.path),
                service=f"let the user of this service read it and enter its directory{_hidden(self.path)}",
                person="run this command as root, or let your user read it and enter its directory",
            ) from None
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceMissing(f"{self.path}: {error.strerror}{_hidden(self.path)}") from None
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ELOOP):
                raise
            raise SourceRefused(f"{self.path}: expected a regular file: {error.strerror}") from None

    def _close(self) -> None:
        if self._file is not None:
            self._last_place, self._last_head = self._file.place, b""
        for file in [self._file, *(left.file for left in self._left)]:
            if file is not None:
                file.close()
        self._file, self._left, self._seen = None, [], {}


def _opened(path: Path, entry: Entry, place: Place = _NO_PLACE, *, may_be_packed: bool = False) -> OpenFile:
    # Checked before it is opened for reading, because opening a device or a FIFO can have side effects or block.
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _refuse_odd(path, os.fstat(found))
        fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(found)
    try:
        if (packing := packing_of(fd)) and not may_be_packed:
            raise SourceRefused(f"{path}: expected lines of JSON, found a {packing} file")  # noqa: TRY301 - to be closed
        entry = from_start if packing else entry
        return OpenFile(fd, behind(place, entry) if place.offset else entry, packing)
    except BaseException:
        os.close(fd)
        raise


def _refuse_odd(path: Path, state: os.stat_result) -> None:
    # The log quotes rejected lines, so root must not read another file for a user who can create a link here.
    if problem := led_astray(path, state):
        raise SourceRefused(f"{path}: {problem}")
    if not stat.S_ISREG(state.st_mode):
        raise SourceRefused(f"{path}: expected a regular file, found {_kind(state.st_mode)}")


def _hidden(path: Path) -> str:
    """Return a hint for a path that a unit's hardening may hide; empty for other paths."""
    # systemd sets INVOCATION_ID for every service. No path is hidden from commands run by hand.
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
