"""What the service reads, as real files that a receiver and journald would have written and rotated."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import IO, TYPE_CHECKING

from fleet_health.demo.journal import JournalFile
from tests.rig.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.soak.fleet import Upload

_KEPT = 3
"""How many files that a log was rotated to are kept."""

_JOURNAL_FILES = 2
"""How many files a journal has: as many as there are after an hour already, for each is held open by its reader."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# How many entries a journal file holds stands in its header (https://systemd.io/JOURNAL_FILE_FORMAT).
_ENTRY_COUNT = struct.Struct("<152xQ")


class Rotation(Enum):
    """The ways in which a log is rotated."""

    CREATED = auto()
    """Renamed, and the new one created at once."""
    CREATED_LATE = auto()
    """Renamed; the new one is created by whoever writes next."""
    UNNOTICED = auto()
    """Renamed and created, but whoever has it open writes on in the old one for a minute."""
    COPIED = auto()
    """Copied, and truncated in place."""


def rotate(path: Path, at_us: int, rotation: Rotation) -> None:
    """Rotate a log as logrotate does: the latest is `.1`, and of the older ones some are kept."""
    numbered = [path.with_name(f"{path.name}.{number}") for number in range(1, _KEPT + 1)]
    for older, newer in zip(reversed(numbered), reversed(numbered[:-1]), strict=False):
        if newer.exists():
            newer.rename(older)
    if rotation is Rotation.COPIED:
        shutil.copyfile(path, numbered[0])
        os.truncate(path, 0)
    else:
        path.rename(numbered[0])
        if rotation is not Rotation.CREATED_LATE:
            path.touch()
    # The disk goes by real time; the service asks when a rotated file was written to last.
    os.utime(numbered[0], ns=(at_us * 1000, at_us * 1000))


class Index:
    """The receiver's index, which the receiver keeps open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_outdated = False
        self._file: IO[bytes] | None = path.open("ab")

    def write(self, uploads: Iterable[Upload], at_us: int) -> None:
        """Append a row for each upload that was accepted."""
        at = (_EPOCH + timedelta(microseconds=at_us)).isoformat()
        file = self._file or self.path.open("ab")
        # The host under two names, so that the configuration can change over from one to the other.
        rows = ({"host_id": upload.host, "name": upload.host, "received_at_wall": at} for upload in uploads)
        file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        file.flush()
        self._file = file
        if self._is_outdated:
            self._reopen()

    def rotate(self, at_us: int, rotation: Rotation) -> None:
        """Rotate it."""
        rotate(self.path, at_us, rotation)
        match rotation:
            case Rotation.CREATED:
                self._reopen()
            case Rotation.CREATED_LATE:
                self.close()
            case Rotation.UNNOTICED:
                self._is_outdated = True

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _reopen(self) -> None:
        self.close()
        self._file = self.path.open("ab")
        self._is_outdated = False


class Journal:
    """A directory of journal files, of which one is written; `rotate` begins another, and vacuums."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0
        directory.mkdir()
        self._open()

    def _open(self) -> None:
        self._number += 1
        self._path = self._path_of(self._number)
        self._file = JournalFile(self._path)
        self._entries = 0

    def write(self, uploads: Iterable[Upload], at_us: int) -> None:
        """Append what the receiver says of each upload; return when it can be read."""
        messages: list[str] = []
        for upload in uploads:
            if not upload.is_stamped:
                messages.append(f"WARNING: missing X-Cis490-Code-Commit host={upload.host}, refused")
            messages.append(f'10.0.0.7:51234 - "PUT /v1/episodes/{upload.host}/e1 HTTP/1.1" {upload.status}')
        for number, message in enumerate(messages):
            self._file.append(message, at_us=at_us + number)
        self._entries += len(messages)
        self._wait_until_written()

    def rotate(self) -> None:
        """Begin another file, and delete the oldest if there are too many."""
        self._file.close()
        self._open()
        if (oldest := self._number - _JOURNAL_FILES) > 0:
            self._path_of(oldest).unlink()

    def close(self) -> None:
        """Close the file that is written."""
        self._file.close()

    def _path_of(self, number: int) -> Path:
        return self._directory / f"receiver-{number:06}.journal"

    def _wait_until_written(self) -> None:
        # Another process writes it, in real time, for which the loop, and with it all virtual time, stands still.
        patience = Patience()
        while self._count() < self._entries:
            assert patience.is_left, f"{self._path} is not written"
            time.sleep(0.000_5)

    def _count(self) -> int:
        try:
            with self._path.open("rb") as file:
                header = file.read(_ENTRY_COUNT.size)
        except FileNotFoundError:
            return 0
        return int(_ENTRY_COUNT.unpack(header)[0]) if len(header) == _ENTRY_COUNT.size else 0
