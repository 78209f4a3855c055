"""Write a real journal file, at any time and as any user.

Owns the conversion of messages to entries: it writes the Journal Export Format to systemd-journal-remote, which needs
neither root nor a running systemd. Knows neither the readers of the journal nor the programs whose lines it writes.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Self

from fleet_health.errors import FleetHealthError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

RECEIVER_UNIT = "cis490-receiver.service"

# All entries of a machine have one boot, whose monotonic clock equals the realtime clock. So entries of several files
# have the same order by either clock.
_BOOT_ID = "4f1d0c7b9a3e4d52a6f08c1e7b25d964"

# Debian's directory comes first; other distributions have merged /lib or use libexec.
_WRITER_PATH = "/lib/systemd:/usr/lib/systemd:/usr/libexec/systemd"

_FIELD_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")

Value = bytes | str | int


class JournalFileError(FleetHealthError):
    """systemd-journal-remote is missing or has ended early."""


def find_writer() -> str | None:
    """Return the path of systemd-journal-remote; None if it is not installed."""
    return shutil.which("systemd-journal-remote", path=_WRITER_PATH)


class JournalFile:
    """Writes a journal file. A `Reader(path=directory)` sees each entry as soon as it is appended.

    Entries have the order of the calls, whatever their timestamps. A file whose last entry is in the future cannot be
    opened for writing again: systemd renames it to `name@….journal~`, which is still read, and creates another one.

    Args:
        path: The file. If it exists, entries are appended.
        machine: The machine ID of the entries, 32 hex digits; empty for entries without one.

    Attributes:
        ahead_us: How far the realtime clock is ahead of the monotonic one from the next entry on, as if it had been
            set, in microseconds.

    """

    def __init__(self, path: Path, *, machine: str = "") -> None:
        writer = find_writer()
        if writer is None:
            raise JournalFileError("systemd-journal-remote is not installed")
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [writer, "--output", path, "-"],
            # Otherwise it would send READY=1 to the socket of the service under test.
            env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._complaints,
            start_new_session=True,  # so that Ctrl-C does not end it before the file is closed
        )
        self._origin: dict[str, Value] = {
            "_HOSTNAME": socket.gethostname(),
            "_TRANSPORT": "stdout",
            "SYSLOG_IDENTIFIER": "uvicorn",
            "PRIORITY": 6,
        }
        if machine:
            self._origin["_MACHINE_ID"] = machine
        self._boot_id = machine or _BOOT_ID
        self.ahead_us = 0

    def append(
        self,
        message: bytes | str | None,
        *,
        at_us: int | None = None,
        unit: str = RECEIVER_UNIT,
        **fields: Value | Sequence[Value],
    ) -> None:
        """Append one entry.

        Args:
            message: The field MESSAGE, with any bytes; None for an entry without it.
            at_us: The realtime timestamp, in microseconds since the epoch; None for now.
            unit: The field _SYSTEMD_UNIT; empty for an entry without it.
            fields: Further fields, which override the others. A list is a field that occurs several times.

        Raises:
            JournalFileError: systemd-journal-remote has ended; `str()` says why.

        """
        at_us = time.time_ns() // 1000 if at_us is None else at_us
        usual: dict[str, Value] = dict(self._origin)
        if unit:
            usual["_SYSTEMD_UNIT"] = unit
        if message is not None:
            usual["MESSAGE"] = message
        monotonic_us = at_us - self.ahead_us
        entry = bytearray(
            f"__REALTIME_TIMESTAMP={at_us}\n__MONOTONIC_TIMESTAMP={monotonic_us}\n_BOOT_ID={self._boot_id}\n".encode()
        )
        for name, value in (usual | fields).items():
            for data in _occurrences(value):
                entry += _field(name, data)
        entry += b"\n"
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101 - it was opened as a pipe
        try:
            pipe.write(entry)
            pipe.flush()
        except BrokenPipeError as error:
            raise JournalFileError(self._why_it_ended()) from error

    def close(self) -> None:
        """Wait until every entry is in the file.

        Raises:
            JournalFileError: Some are missing; `str()` says why.

        """
        if self._complaints.closed:
            return
        try:
            self._process.communicate()
            if self._process.returncode:
                raise JournalFileError(self._why_it_ended())
        finally:
            self._complaints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _why_it_ended(self) -> str:
        status = self._process.wait()
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="backslashreplace").strip()
        return f"systemd-journal-remote ended with status {status}: {said}"


def _occurrences(value: Value | Sequence[Value]) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str | int):
        yield str(value).encode(errors="surrogateescape")
    else:
        for one in value:
            yield from _occurrences(one)


def _field(name: str, data: bytes) -> bytes:
    if not _FIELD_NAME.fullmatch(name):
        # systemd-journal-remote would drop it without an error
        raise ValueError(f"not a journal field's name: {name!r}")
    if not data:
        # "Binary field with zero length" is refused by systemd 252; the text form may be empty
        return f"{name}=\n".encode()
    return f"{name}\n".encode() + struct.pack("<Q", len(data)) + data + b"\n"
