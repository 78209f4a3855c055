"""Read the entries of an open journal that match given fields. No content of an entry makes reading raise.

Only the low-level calls of `systemd.journal.Reader` are used. Iterating over it converts every field of every entry,
which is fifteen times slower, and a single odd field (a COREDUMP_TIMESTAMP of thirty nines) makes it raise and not
advance. These facts matter as well:

* The descriptor must be requested right after opening. Journal files that were opened before that are not watched, and
  stay open after they are deleted (systemd#14695).
* The descriptor is an inotify instance; a user may have only 128. A reader without one can read the existing files,
  but `process()` never finds new ones, so the journal must be opened again for each read.
* `process()` must be called regularly while reading, or a vacuum makes every further read fail (loki#4053).
* While an entry is being written, libsystemd may see that it exists but not yet that it matches. Then it does not look
  into that file again before the next entry is written, except after a seek (observed).
* A reader must not be used from two threads, nor be closed while the loop watches its descriptor (python-systemd#143).
* A directory that is created or replaced after opening is noticed only for the default namespace, and only if
  `/var/log/journal` existed. Hence `is_outdated`.
* A file of an unknown format or with a damaged header is left out without an error. Hence `left_out`.
* Opening a journal without permission succeeds, and shows no entries. Hence `refuse_unreadable`.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from systemd import journal

from fleet_health.errors import SourceFailing, SourceUnavailable
from fleet_health.sources.journal.directories import (
    every_place,
    identities,
    places,
    places_changed_at,
    refuse_unreadable,
    unreadable_files,
)
from fleet_health.sources.journal.files import LeftOutFile, left_out_files, refuse_current

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.sources.journal.files import File

_SPARE_DESCRIPTORS = 8

# <systemd/sd-journal.h>; systemd-python has no name for the second: a namespace, and the default one as well.
_LOCAL_ONLY, _WITH_DEFAULT_NAMESPACE = 1 << 0, 1 << 6


class EntryReader:
    """Reads the entries of a journal that match, in either direction.

    Every method raises SourceUnavailable if the journal is missing, may not be read, or cannot be read now.

    Args:
        settings: Which journal.
        files: The only files to read, as long as they exist; None for the whole journal, including new files.
        is_watching: Whether to create a descriptor. A reader of given files can do without one.

    Attributes:
        fd: Readable when the journal's files have changed; None if there is no inotify instance for it.
        left_out: The archived files that libsystemd does not read.

    """

    def __init__(self, settings: JournalSettings, files: Sequence[File] | None, *, is_watching: bool) -> None:
        self._settings = settings
        self._files = files
        self._selected: tuple[tuple[str, ...], ...] = ()
        self._is_on_unread = False
        """Whether the entry at the read position has not been read yet, because a seek stopped at it."""
        if files is None:
            refuse_unreadable(settings)
        with unavailable_on_error():
            self._places = self._identities()
            self._reader: Any = _opened(settings) if files is None else _opened_files([file.path for file in files])
        try:
            with unavailable_on_error():
                self.fd = self._descriptor(is_watching=is_watching)
            self._listed_at = places_changed_at(settings)
            self.left_out = [] if files is not None else refuse_current(self._not_opened())
        except SourceUnavailable:
            self.close()  # the traceback would keep the reader and its files open
            raise

    def _descriptor(self, *, is_watching: bool) -> int | None:
        descriptor: int | None = None
        if is_watching:
            try:
                descriptor = self._reader.fileno()
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
        # libsystemd leaves out a journal file without an error if no descriptor was free for it. The descriptors with
        # which it read the directories are free again, so several must be free to prove that none was missing.
        spare: list[int] = []
        try:
            while len(spare) < _SPARE_DESCRIPTORS:
                spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        finally:
            for one in spare:
                os.close(one)
        return descriptor

    def _not_opened(self) -> list[LeftOutFile]:
        directories = places(self._settings)
        if not left_out_files(directories):
            return []
        self.process()  # the file may have been created just now
        return left_out_files(directories)

    def is_outdated(self) -> bool:
        """Return whether there may be journal files that this reader will never notice or cannot read."""
        try:
            if self._places != self._identities() or unreadable_files(self._settings):
                return True
            if self._files is not None:
                return False  # the opener of this reader looks for new files
            if self.fd is None:
                return True
            changed_at = places_changed_at(self._settings)
            if changed_at == self._listed_at:
                return False
            self._listed_at = changed_at
            return self._not_opened() != self.left_out
        except (OSError, SourceUnavailable):
            return True  # opening it again will report the error

    def _identities(self) -> list[tuple[int, int]]:
        """Return the device and inode of each directory of its files."""
        if self._files is None:
            return identities(every_place(self._settings))
        return identities(sorted({file.path.parent for file in self._files}))

    def select(self, *alternatives: Iterable[str]) -> None:
        """Select the entries to read after the next seek: those with all fields (`NAME=value`) of an alternative."""
        self._selected = tuple(map(tuple, alternatives))
        self._match(*self._selected)

    @contextmanager
    def detour(self) -> Iterator[None]:
        """Allow reading other entries in this context. The read position is undefined afterwards."""
        try:
            with unavailable_on_error():
                yield
        finally:
            self._match(*self._selected)

    def _match(self, *alternatives: Iterable[str]) -> None:
        self._reader.flush_matches()
        for number, fields in enumerate(alternatives):
            if number:
                self._reader.add_disjunction()
            self._reader.add_match(*fields)

    def seek(self, since: Instant) -> None:
        """Seek to before the first entry with `t >= since`."""
        with unavailable_on_error():
            # Not the method with the same name in `journal.Reader`, which takes seconds and rounds them.
            journal._Reader.seek_realtime(self._reader, max(since, 0))  # noqa: SLF001
        self._is_on_unread = False

    def seek_cursor(self, cursor: str) -> None:
        """Seek to after the entry of a cursor, or to before the next entry if that entry is gone."""
        with unavailable_on_error():
            self._reader.seek_cursor(cursor)
            # Whether the entry of the cursor still exists can be tested only after a step.
            has_entry = self._reader._next()  # noqa: SLF001
            self._is_on_unread = has_entry and not self._reader.test_cursor(cursor)

    def cursor(self) -> str:
        """Return the cursor of the entry read last, which must exist."""
        with unavailable_on_error():
            name: str = self._reader._get_cursor()  # noqa: SLF001
        return name

    def latest(self, fields: Iterable[str], until: Instant | None) -> Iterator[Instant]:
        """Read back from the last entry with these fields and `t <= until`, or from the end. Yield the time of each.

        To be used in a detour.
        """
        self._match(fields)
        if until is None:
            self._reader.seek_tail()
        else:
            self.seek(until)
        while self._reader._previous():  # noqa: SLF001
            yield self._reader._get_realtime()  # noqa: SLF001

    def following(self, alternatives: Iterable[Iterable[str]], place: Instant | str) -> Iterator[Instant]:
        """Read the entries with all fields of an alternative, after an instant or a cursor. Yield the time of each.

        To be used in a detour.
        """
        self._match(*alternatives)
        if isinstance(place, str):
            self.seek_cursor(place)
        else:
            self.seek(place)
        while self._is_on_unread or self._reader._next():  # noqa: SLF001
            self._is_on_unread = False
            yield self._reader._get_realtime()  # noqa: SLF001

    def field(self, name: str) -> bytes:
        """Return a field of the entry read last; empty if the entry lacks it or is damaged."""
        try:
            value: bytes = self._reader._get(name)  # noqa: SLF001
        except (KeyError, OSError):
            return b""
        return value

    def text(self, name: str) -> str:
        """Return a field of the entry read last as text, as `field` does."""
        return self.field(name).decode("utf-8", "replace")

    def has(self, name: str) -> bool:
        """Return whether the entry read last has a field."""
        try:
            self._reader._get(name)  # noqa: SLF001
        except (KeyError, OSError):
            return False
        return True

    def monotonic(self) -> tuple[int, str] | None:
        """Return the monotonic timestamp, in microseconds, and boot of the entry read last; None if it has none."""
        try:
            at, boot = self._reader._get_monotonic()  # noqa: SLF001
        except (OSError, ValueError):
            return None
        return at, str(boot)

    def values_of(self, field: str) -> set[str]:
        """Return every value that a field has in the whole journal."""
        with unavailable_on_error():
            return set(map(str, self._reader.query_unique(field)))

    def has_any(self, *alternatives: Iterable[str]) -> bool:
        """Return whether any entry has all fields of an alternative. Leaves the read position undefined."""
        with self.detour():
            self._match(*alternatives)
            self._reader.seek_head()
            return bool(self._reader._next())  # noqa: SLF001

    def oldest_at(self) -> Instant | None:
        """Return the time of the oldest entry; None if the journal is empty. Leaves the read position undefined."""
        namespace = self._settings.namespace
        with self.detour():
            self._match(*([] if namespace is None else [[f"_NAMESPACE={namespace}"]]))
            self._reader.seek_head()
            return self._reader._get_realtime() if self._reader._next() else None  # noqa: SLF001

    def timeout(self) -> float | None:
        """Return the seconds until `process` is due even without a signal from the descriptor; None for never."""
        if self.fd is None:
            return None
        at_us: int | None = self._reader.get_timeout()
        return None if at_us is None else max(0.0, at_us / 1e6 - time.monotonic())

    def process(self) -> None:
        """Update the reader for changes of the journal files. Call this when the descriptor is readable."""
        with unavailable_on_error():
            self._reader.process()

    def close(self) -> None:
        """Close the journal. The event loop must have stopped watching the descriptor before."""
        self._reader.close()


@contextmanager
def unavailable_on_error() -> Iterator[None]:
    """Raise SourceUnavailable if libsystemd reports an error in this context."""
    try:
        yield
    except OSError as error:
        raise SourceFailing(f"the journal cannot be read: {error.strerror or error}") from error


def _opened(settings: JournalSettings) -> Any:
    if settings.directory is not None:
        return journal.Reader(path=str(settings.directory))
    if settings.namespace is not None:
        # The service manager logs about a unit in the default namespace, whatever namespace the unit logs to.
        return journal.Reader(flags=_LOCAL_ONLY | _WITH_DEFAULT_NAMESPACE, namespace=settings.namespace)
    return journal.Reader()


def _opened_files(files: Sequence[Path]) -> Any:
    while True:
        try:
            return journal.Reader(files=[str(file) for file in files])
        except FileNotFoundError:  # renamed or deleted since it was listed
            files = [file for file in files if file.exists()]
            if not files:  # systemd-python does not handle an empty list
                raise
