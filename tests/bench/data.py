"""What the benchmarks read: an index and journals such as a receiver leaves behind. Seeded, so always the same.

Journals go through systemd-journal-remote into real journal files, in bulk: one pipe, and entries of some twenty
fields, as journald stores them.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import msgspec

from fleet_health.demo.journal import RECEIVER_UNIT, JournalFileError, find_writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 86_400 * SECOND_US

END_US = 1_769_860_800 * SECOND_US
"""The instant at which data ends that need not be recent: 2026-01-31T12:00:00Z."""

_SEED = 490
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK = 10_000
# Of the hexadecimal digits in the rows nobody asks whether they ever come again.
_DIGESTS = 4_096

_ROW = (
    b'{"host_id": "%b", "episode_id": "ep-%010d", "received_at_wall": "%b", "bytes": %d, "sha256": "%b", '
    b'"code_commit": "%b", "path": "/var/lib/cis490/episodes/%b/ep-%010d.tar.zst"}\n'
)

_ACCESS = b'INFO:     10.3.%d.%d:%d - "PUT /v1/episodes/%b/ep-%010d HTTP/1.1" %b'
_UNSTAMPED = b"WARNING:cis490.receiver:rejected upload: missing X-Cis490-Code-Commit host=%b, episode=ep-%010d"
_STATUSES = (b"201 Created", b"412 Precondition Failed", b"422 Unprocessable Entity", b"500 Internal Server Error")
_WEIGHTS = (94, 3, 2, 1)

_BOOT_ID = b"4f1d0c7b9a3e4d52a6f08c1e7b25d964"
_ENTRY = b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=" + _BOOT_ID + b"\n%bMESSAGE=%b\n\n"
_FIELDS = """\
_MACHINE_ID=8c3f7a51e0d24b6f9b1c5a7d2e4f6081
_HOSTNAME=receiver
_RUNTIME_SCOPE=system
_TRANSPORT={transport}
PRIORITY=6
SYSLOG_FACILITY=3
SYSLOG_IDENTIFIER={name}
_PID={pid}
_UID={uid}
_GID={uid}
_COMM={name}
_EXE={program}
_CMDLINE={program} {arguments}
_CAP_EFFECTIVE=0
_SELINUX_CONTEXT=unconfined
_SYSTEMD_CGROUP=/system.slice/{unit}
_SYSTEMD_UNIT={unit}
_SYSTEMD_SLICE=system.slice
_SYSTEMD_INVOCATION_ID=5b0e{pid:028x}
"""
_RECEIVER = (
    _FIELDS.format(
        transport="stdout",
        name="uvicorn",
        pid=812,
        uid=990,
        program="/opt/cis490/venv/bin/python3",
        arguments="/opt/cis490/venv/bin/uvicorn cis490.receiver:app --host 0.0.0.0 --port 8490",
        unit=RECEIVER_UNIT,
    ).encode()
    + b"_STREAM_ID=93c1d7f05a2b4e6c8d1f3a5b7c9e0d24\n"
)
_OTHERS = tuple(
    _FIELDS.format(
        transport="syslog",
        name=name,
        pid=pid,
        uid=0,
        program=f"/usr/sbin/{name}",
        arguments="-D",
        unit=f"{name}.service",
    ).encode()
    for pid, name in enumerate(("sshd", "nginx", "cron", "chronyd", "dhcpcd"), start=400)
)


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """What is in a journal.

    Attributes:
        entries: All entries.
        of_unit: Those of the receiver's unit.
        answers: Of these, the access lines.
        refused: Of these, the refusals.

    """

    entries: int
    of_unit: int
    answers: int
    refused: int


def host_names(count: int) -> list[bytes]:
    """Name so many hosts."""
    return [b"lab-%05d" % number for number in range(count)]


def iso(at_us: int) -> bytes:
    """Write an instant as the receiver does."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").encode()


class Rows:
    """Makes rows of the index, of about 340 bytes each."""

    def __init__(self, hosts: Sequence[bytes]) -> None:
        self._hosts = hosts
        random = Random(_SEED)  # noqa: S311 - nothing is secret here
        self._digests = [
            (
                random.randrange(10_000, 9_000_000),
                random.randbytes(32).hex().encode(),
                random.randbytes(20).hex().encode(),
            )
            for _ in range(_DIGESTS)
        ]

    def row(self, number: int, at_us: int) -> bytes:
        """Make the row of an upload. The hosts take turns, each time in another order."""
        # A prime that divides no number of hosts in use, so that every host has its turn.
        host = self._hosts[number * 7_919 % len(self._hosts)]
        size, sha256, commit = self._digests[number % _DIGESTS]
        return _ROW % (host, number, iso(at_us), size, sha256, commit, host, number)

    def between(self, count: int, first_us: int, last_us: int, *, start: int = 0) -> Iterator[bytes]:
        """Return so many rows spread evenly over a time, in chunks."""
        step = (last_us - first_us) / max(count, 1)
        for begin in range(0, count, _CHUNK):
            numbers = range(begin, min(begin + _CHUNK, count))
            yield b"".join([self.row(start + number, first_us + int(number * step)) for number in numbers])


class Entries:
    """Makes journal entries in the Journal Export Format: the receiver's, and those of other units between them."""

    def __init__(self, hosts: Sequence[bytes], *, others: int = 1) -> None:
        """Take the hosts, and how many entries of others come with each of the receiver."""
        self._hosts = hosts
        self._others = others
        self._random = Random(_SEED)  # noqa: S311 - nothing is secret here
        self._number = 0
        self._entries = self._of_unit = self._answers = self._refused = 0

    @property
    def facts(self) -> JournalFacts:
        """What was made so far."""
        return JournalFacts(self._entries, self._of_unit, self._answers, self._refused)

    def next(self, at_us: int) -> bytes:
        """Return the receiver's next entry, with the entries of others that come before it."""
        self._number = number = self._number + 1
        parts = [self._other(number, at_us, index) for index in range(self._others)]
        host = self._hosts[number * 7_919 % len(self._hosts)]
        (status,) = self._random.choices(_STATUSES, _WEIGHTS)
        if status is _STATUSES[1] and number % 2:  # one in two of these is notified by a warning instead
            message = _UNSTAMPED % (host, number)
        else:
            message = _ACCESS % (number % 250, number % 240, 40_000 + number % 20_000, host, number, status)
            self._answers += 1
            self._refused += status is not _STATUSES[0]
        parts.append(_ENTRY % (at_us, at_us, _RECEIVER, message))
        self._of_unit += 1
        self._entries += len(parts)
        return b"".join(parts)

    def between(self, count: int, first_us: int, last_us: int) -> Iterator[bytes]:
        """Return so many of the receiver's entries spread evenly over a time, in chunks."""
        step = (last_us - first_us) / max(count, 1)
        for begin in range(0, count, _CHUNK):
            numbers = range(begin, min(begin + _CHUNK, count))
            yield b"".join([self.next(first_us + int(number * step)) for number in numbers])

    def _other(self, number: int, at_us: int, index: int) -> bytes:
        fields = _OTHERS[(number + index) % len(_OTHERS)]
        message = b"session %d opened for 10.1.%d.%d by somebody else" % (number, number % 250, number % 240)
        return _ENTRY % (at_us, at_us, fields + b"_SOURCE_REALTIME_TIMESTAMP=%d\n" % (at_us - 40), message)


def write_index(path: Path, chunks: Iterator[bytes]) -> None:
    """Write an index."""
    with path.open("wb") as file:
        file.writelines(chunks)


def start_journal_writer(path: Path) -> subprocess.Popen[bytes]:
    """Start what writes a journal file from the Journal Export Format on its stdin.

    Raises:
        JournalFileError: It is not installed.

    """
    writer = find_writer()
    if writer is None:
        raise JournalFileError("systemd-journal-remote is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [writer, "--output", path, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def write_journal(path: Path, chunks: Iterator[bytes]) -> None:
    """Write a journal file; where it becomes too full, systemd-journal-remote begins another beside it.

    Raises:
        JournalFileError: It could not be written.

    """
    process = start_journal_writer(path)
    assert process.stdin is not None
    with process.stdin:
        process.stdin.writelines(chunks)
    if process.wait():
        raise JournalFileError(f"systemd-journal-remote ended with status {process.returncode}")


def old_index(work: Path, *, rows: int, hosts: int) -> Path:
    """Return an index of 30 days that ends at `END_US`; it is made if it is not there yet."""
    path = work / f"index-{rows}-{hosts}.jsonl"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        write_index(unfinished, Rows(host_names(hosts)).between(rows, END_US - 30 * DAY_US, END_US))
        unfinished.rename(path)
    return path


def old_journal(work: Path, *, entries: int, hosts: int) -> tuple[Path, JournalFacts]:
    """Return a journal of 30 minutes that ends at `END_US`, half of it the receiver's; it is made if need be."""
    directory = work / f"journal-{entries}-{hosts}"
    facts = directory / "facts.json"
    if not facts.exists():
        made = Entries(host_names(hosts))
        write_journal(directory / "receiver.journal", made.between(entries // 2, END_US - 30 * MINUTE_US, END_US))
        facts.write_bytes(msgspec.json.encode(made.facts))
    return directory, msgspec.json.decode(facts.read_bytes(), type=JournalFacts)
