"""Group the journal files in a directory by machine, with a reader for the files of each machine.

libsystemd puts the entries of all files of a reader in one order. An entry that arrives late from one machine would be
placed before entries already read from another, and so be skipped. Since systemd 255, libsystemd even takes the boots
of several machines, as collected by systemd-journal-remote, for consecutive boots of one machine, and shows new entries
of only one of them (systemd#34169).

The header of a collected file names the collecting machine. So a file belongs to the `_MACHINE_ID` of its first entry.
"""

from __future__ import annotations

import errno
import heapq
import os
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from systemd import journal

from fleet_health.errors import SourceFailing
from fleet_health.model.coverage import LEFT_OUT, Gap
from fleet_health.sources.journal.directories import is_machine_id, no_permission, refuse_unreadable
from fleet_health.sources.journal.files import (
    SUFFIXES,
    File,
    LeftOutFile,
    has_entries,
    headers_of,
    is_closed_to_us,
    refuse_current,
)
from fleet_health.sources.journal.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.unit_states import UnitMessage

Files: TypeAlias = tuple[File, ...] | None
"""The journal files of one machine; None for this machine, whose files libsystemd finds."""

_Entries: TypeAlias = "Iterable[tuple[bytes | None, Instant]]"

WATCHED = 16
"""The number of machines whose readers have a descriptor. A user may have only 128, and each watches a directory."""

# The file does not cause these errors. If it were left out, it would be neither read nor reported.
_OUR_WANTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class MachineFiles:
    """The journal files for the settings of a receiver, by machine.

    Attributes:
        left_out: The files in a directory that libsystemd does not read and that are not written to any more.

    """

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        self._machines: dict[File, str | None] = {}
        self._files_of_each: dict[str, tuple[File, ...]] = {}
        self.left_out: list[LeftOutFile] = []

    def look(self) -> dict[str, Files]:
        """Return the files that exist now, by machine id. Files without entries are left out.

        Raises:
            SourceUnavailable: There is no journal, it may not be read, or a file in it has an unknown format.

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
        return dict(self._files_of_each)

    def _sort(self, listed: set[File]) -> None:
        machines: dict[File, str | None] = {}
        for file in sorted(listed):
            machine = self._machines.get(file)
            machines[file] = _machine_of(file.path) if machine is None else machine
            if machines[file] is None and is_closed_to_us(file.path):
                raise no_permission(file.path)  # the journals of other machines are no substitute
        self._machines, self._files_of_each = machines, {}
        for file, machine in machines.items():
            if machine is not None:
                self._files_of_each[machine] = (*self._files_of_each.get(machine, ()), file)
        unread = [file.path for file, machine in machines.items() if machine is None]
        self.left_out = refuse_current(headers_of(unread, [file.path for file in machines]))


@dataclass(frozen=True, slots=True)
class OpenJournal:
    """A journal that is open.

    Attributes:
        readers: One reader for each machine that has entries in it.
        left_out: The gaps from files that libsystemd does not read.

    """

    readers: Sequence[JournalReader]
    left_out: Sequence[Gap]

    @property
    def oldest_at(self) -> Instant | None:
        """The time of the oldest entry; None if there is none. Leaves the read positions undefined."""
        return oldest_of(self.readers)

    def read(self, until: Instant) -> Iterator[tuple[JournalReader, bytes | None, Instant]]:
        """Read all machines to the present end, in order of time. Yield reader, message and timestamp of each entry.

        The message of an entry later than `until` is empty.
        """
        return self._merged([reader.read(until) for reader in self.readers], reverse=False)

    def read_back(self, until: Instant) -> Iterator[tuple[JournalReader, bytes | None, Instant]]:
        """Read from the last entry with `t <= until` back to the beginning. Yield as `read` does."""
        return self._merged([reader.read_back(until) for reader in self.readers], reverse=True)

    def _merged(
        self, entries_of_each: Sequence[_Entries], *, reverse: bool
    ) -> Iterator[tuple[JournalReader, bytes | None, Instant]]:
        each = [
            ((reader, message, at) for message, at in entries)
            for reader, entries in zip(self.readers, entries_of_each, strict=True)
        ]
        # A reader advances only when the next entry is requested, so fields of the present entry can still be read.
        return each[0] if len(each) == 1 else heapq.merge(*each, key=_at_of_entry, reverse=reverse)


@contextmanager
def opened(settings: JournalSettings) -> Iterator[OpenJournal]:
    """Open a journal for the duration of the context.

    Raises:
        SourceUnavailable: The journal is missing or cannot be read.

    """
    with ExitStack() as stack:
        machine_files = MachineFiles(settings)
        files_of_each = machine_files.look()
        readers = [
            stack.enter_context(closing(JournalReader(settings, files, is_watching=number < WATCHED)))
            for number, files in enumerate(files_of_each.values())
        ]
        yield OpenJournal(readers, left_out_gaps(machine_files, readers))


def left_out_gaps(machine_files: MachineFiles, readers: Iterable[JournalReader]) -> list[Gap]:
    """Return the gaps caused by files that libsystemd does not read."""
    left_out = [*machine_files.left_out, *(one for reader in readers for one in reader.left_out)]
    return [Gap(one.since, one.until, LEFT_OUT) for one in left_out]


def oldest_of(readers: Iterable[JournalReader]) -> Instant | None:
    """Return the time of the oldest entry of some readers; None if there is none. Leaves positions undefined."""
    return min((at for reader in readers if (at := reader.oldest_at()) is not None), default=None)


def in_time(messages_of_each: Iterable[Iterable[UnitMessage]]) -> Iterator[UnitMessage]:
    """Yield the messages of several machines in order of time, keeping the order within each machine."""
    return heapq.merge(*messages_of_each, key=lambda message: message.at)


def _at_of_entry(entry: tuple[JournalReader, bytes | None, Instant]) -> Instant:
    return entry[2]


def _listed(directory: Path) -> set[File]:
    files, below = _scanned(directory)
    for name in filter(is_machine_id, below):
        with suppress(FileNotFoundError, NotADirectoryError):
            files |= _scanned(directory / name)[0]
    return files


def _scanned(directory: Path) -> tuple[set[File], list[str]]:
    """Return the journal files in a directory, and the names of its other entries."""
    files, others = set[File](), list[str]()
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIXES):
                files.add(File(directory / entry.name, entry.inode()))
            else:
                others.append(entry.name)
    return files, others


def _machine_of(file: Path) -> str | None:
    """Return the machine id of a file's first entry, empty if it has none; None if no entry can be read."""
    try:
        if not has_entries(file):
            return None
        reader = journal.Reader(files=[str(file)])
    except OSError as error:
        if error.errno in _OUR_WANTS:
            raise
        return None  # libsystemd leaves it out as well
    with closing(reader):
        try:
            reader.seek_head()
            while reader._next():  # noqa: SLF001 - see reader.py
                with suppress(OSError):  # this entry is damaged
                    machine: bytes = reader._get("_MACHINE_ID")  # noqa: SLF001
                    return machine.decode("ascii", "replace")
        except KeyError:
            return ""
        except OSError:  # the file is damaged, as its reader will report
            return ""
    return None
