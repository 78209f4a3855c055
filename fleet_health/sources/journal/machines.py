"""Whose journal files a directory holds: those of each machine are read by a reader of their own.

libsystemd puts the entries of all its files in one order. By that, an entry that comes late from one machine stands
before what was read of another, and is passed over. From systemd 255 on, it even takes the boots of machines whose
journals systemd-journal-remote has collected for boots of one machine, one after the other, and shows nothing new of
all but one (systemd#34169).

The header of a collected file names the machine that collected it. So the `_MACHINE_ID` of its first entry counts.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

from systemd import journal

from fleet_health.errors import SourceFailing
from fleet_health.sources.journal.reader import File, JournalReader, is_machine_id, refuse_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings

Files: TypeAlias = tuple[File, ...] | None
"""The files of one machine; None for those that libsystemd finds by itself, of this machine."""

# As libsystemd has it.
_SUFFIXES = (".journal", ".journal~")

# Not the file is at fault then, and leaving it out would leave it unread without a word.
_OUR_WANTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class MachineFiles:
    """The journal files that a receiver's settings name, by machine."""

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        self._machines: dict[File, str | None] = {}
        self._by_machine: dict[str, tuple[File, ...]] = {}

    def look(self) -> dict[str, Files]:
        """Return the files that are there now, by machine id. Files without an entry as yet are left out.

        Raises:
            SourceUnavailable: The directory is missing, or may not be read.

        """
        directory = self._settings.directory
        if directory is None:
            return {"": None}
        try:
            listed = _listed(directory)
            if not listed or listed != self._machines.keys() or None in self._machines.values():
                refuse_unreadable(self._settings)
                self._sort(listed)
        except OSError as error:
            refuse_unreadable(self._settings)
            raise SourceFailing(f"the journal cannot be read: {error.strerror or error}") from error
        return dict(self._by_machine)

    def _sort(self, listed: set[File]) -> None:
        machines: dict[File, str | None] = {}
        for file in sorted(listed):
            machine = self._machines.get(file)
            machines[file] = _machine_of(file.path) if machine is None else machine
        self._machines, self._by_machine = machines, {}
        for file, machine in machines.items():
            if machine is not None:
                self._by_machine[machine] = (*self._by_machine.get(machine, ()), file)


@contextmanager
def every_reader(settings: JournalSettings) -> Iterator[list[JournalReader]]:
    """Open the journal: return a reader for each machine whose entries are in it, and close them in the end.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with ExitStack() as stack:
        files_of_each = MachineFiles(settings).look().values()
        yield [stack.enter_context(closing(JournalReader(settings, files))) for files in files_of_each]


def _listed(directory: Path) -> set[File]:
    files, below = _scanned(directory)
    for name in filter(is_machine_id, below):
        with suppress(FileNotFoundError, NotADirectoryError):
            files |= _scanned(directory / name)[0]
    return files


def _scanned(directory: Path) -> tuple[set[File], list[str]]:
    """Return the journal files in a directory, and the names of all else in it."""
    files, others = set[File](), list[str]()
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIXES):
                files.add(File(directory / entry.name, entry.inode()))
            else:
                others.append(entry.name)
    return files, others


def _machine_of(file: Path) -> str | None:
    """Return the machine id of a file's first entry, empty if that has none; None if there is no entry to be read."""
    try:
        reader = journal.Reader(files=[str(file)])
    except OSError as error:
        if error.errno in _OUR_WANTS:
            raise
        return None  # as libsystemd leaves it out, too
    with closing(reader):
        try:
            reader.seek_head()
            while reader._next():  # noqa: SLF001 - see reader.py
                with suppress(OSError):  # this entry alone is damaged
                    machine: bytes = reader._get("_MACHINE_ID")  # noqa: SLF001
                    return machine.decode("ascii", "replace")
        except KeyError:
            return ""
        except OSError:  # the file is damaged, as whoever reads it will report
            return ""
    return None
