"""Find journal files that libsystemd leaves out without an error, because their format is unknown or they are damaged.

libsystemd reads the files that this process has open. The header of a file that was left out shows the times of its
entries, and is the same in all formats (https://systemd.io/JOURNAL_FILE_FORMAT).
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fleet_health.errors import SourceRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fleet_health.model.instant import Instant

_DESCRIPTORS = Path("/proc/self/fd")
SUFFIXES = (".journal", ".journal~")
"""The suffixes of journal files, as libsystemd defines them."""

_SIGNATURE = b"LPKSHHRH"
# The signature, the incompatible flags, the state, the number of entries, and the times of the first and the last.
_HEADER = struct.Struct("<8s4xIB135xQ24xQQ")
_ONLINE = 1
# The journals of users are not read.
_is_of_users = re.compile(r"user-\d+[.@]").match


class File(NamedTuple):
    """A journal file that was found. A new file under the same name has another inode."""

    path: Path
    inode: int


@dataclass(frozen=True, slots=True)
class LeftOutFile:
    """A file that libsystemd does not read.

    Attributes:
        path: The path of the file.
        incompatible_flags: The features that a reader must support.
        since: The time of its first entry.
        until: The time of its last entry.
        is_current: Whether entries are still written to it.

    """

    path: Path
    incompatible_flags: int
    since: Instant
    until: Instant
    is_current: bool


def left_out_files(directories: Sequence[Path]) -> list[LeftOutFile]:
    """Return the files in these directories that have entries and are not open in this process."""
    try:
        opened = set(_opened())
    except OSError:
        return []
    files = list(_files(directories))
    return headers_of([file for file in files if _number(file) not in opened], files)


def headers_of(left_out: Iterable[Path], files: Iterable[Path]) -> list[LeftOutFile]:
    """Read the headers of files that were left out; `files` are all that exist. Files without entries are omitted."""
    found = [one for file in left_out if (one := _header(file)) is not None]
    if not found:
        return []
    newest_at = max((one.until for file in files if (one := _header(file)) is not None), default=0)
    return [
        LeftOutFile(one.path, one.incompatible_flags, one.since, one.until, is_current=True)
        if one.until == newest_at and _may_be_current(one.path)
        else one
        for one in found
    ]


def refuse_current(left_out: list[LeftOutFile]) -> list[LeftOutFile]:
    """Return the files unchanged. Raise SourceRefused if entries are still written to one of them."""
    for one in left_out:
        if one.is_current:
            raise SourceRefused(
                f"{one.path}: libsystemd does not read this file (incompatible flags {one.incompatible_flags:#x});"
                " `journalctl --header` shows why: upgrade libsystemd0 to the version of journald, and restart"
            )
    return left_out


def has_entries(file: Path) -> bool:
    """Return whether a file is a journal file with entries."""
    with file.open("rb") as opened:
        head = opened.read(_HEADER.size)
    return len(head) == _HEADER.size and head.startswith(_SIGNATURE) and bool(_HEADER.unpack(head)[3])


def _files(directories: Iterable[Path]) -> Iterator[Path]:
    for directory in directories:
        try:
            names = sorted(directory.iterdir())
        except OSError:
            continue
        yield from (file for file in names if file.name.endswith(SUFFIXES))


def _opened() -> Iterator[tuple[int, int]]:
    for descriptor in _DESCRIPTORS.iterdir():
        try:
            # The name is checked first, because even fstat may hang for a file on a disk that hangs.
            if not os.readlink(descriptor).endswith(SUFFIXES):  # noqa: PTH115 - the kernel's text need not be a path
                continue
            state = os.fstat(int(descriptor.name))
        except OSError:  # the descriptor of the directory itself
            continue
        yield state.st_dev, state.st_ino


def _number(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _header(path: Path) -> LeftOutFile | None:
    """Return the header of a file; None if it has no entries, is not wanted, or cannot be read."""
    if _is_of_users(path.name):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
    except OSError:
        return None
    if len(head) < _HEADER.size:
        return None
    signature, flags, state, count, since, until = _HEADER.unpack(head)
    if signature != _SIGNATURE or not count:
        return None
    is_current = path.name == "system.journal" or (state == _ONLINE and _may_be_current(path))
    return LeftOutFile(path, flags, since, until, is_current)


def is_closed_to_us(file: Path) -> bool:
    """Return whether entries of services are written to a file that this process may not read."""
    return _may_be_current(file) and not _is_of_users(file.name) and not os.access(file, os.R_OK) and file.exists()


def _may_be_current(path: Path) -> bool:
    """Return whether entries may still be written to a file of this name, because archived files are renamed."""
    return "@" not in path.name and path.suffix == ".journal"
