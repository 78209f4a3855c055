"""Journals written by the demo's writer, read back as any journal is."""

from __future__ import annotations

import json
import select
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from systemd import journal

from fleet_health.demo.journal import JournalFile, JournalFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_WITHIN_MS = 30_000
SOME_TIME_US = 1_700_000_000_000_000


def entries(directory: Path) -> Iterator[Any]:
    """Yield the reader at each entry in turn."""
    reader = journal.Reader(path=str(directory))
    reader.data_threshold = 0
    reader.seek_head()
    while reader._next():
        yield reader


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"PUT /v1/episodes/pi-01/e1", id="a line"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"one\ntwo\n\nthree\n", id="several lines"),
        pytest.param(b"MESSAGE=x\n\n__CURSOR=y", id="what looks like the format itself"),
        pytest.param(bytes(range(256)), id="every byte"),
        pytest.param(b"x" * 200_000, id="200 kB"),
        pytest.param("grüße".encode(), id="UTF-8"),
    ],
)
def test_a_message_is_read_back_as_it_was_written(message: bytes, tmp_path: Path) -> None:
    """Messages of any bytes are read unchanged."""
    with JournalFile(tmp_path / "x.journal") as written:
        written.append(message)

    assert [entry._get("MESSAGE") for entry in entries(tmp_path)] == [message]


def test_timestamps_are_exact(tmp_path: Path) -> None:
    """Entries keep their timestamps, to the microsecond, and the order of the calls."""
    given = [SOME_TIME_US, SOME_TIME_US + 1, SOME_TIME_US + 1, SOME_TIME_US + 3_600_000_001]
    with JournalFile(tmp_path / "x.journal") as written:
        for number, at_us in enumerate(given):
            written.append(str(number), at_us=at_us)

    assert [(entry._get_realtime(), entry._get("MESSAGE")) for entry in entries(tmp_path)] == [
        (at_us, b"%d" % number) for number, at_us in enumerate(given)
    ]


def test_files_of_one_directory_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    """Two files written at the same time are read as one sequence."""
    with JournalFile(tmp_path / "even.journal") as even, JournalFile(tmp_path / "odd.journal") as odd:
        for number in range(10):
            (odd if number % 2 else even).append(str(number), at_us=SOME_TIME_US + number)

    assert [int(entry._get("MESSAGE")) for entry in entries(tmp_path)] == list(range(10))


def test_journalctl_reads_it_as_the_receivers(tmp_path: Path) -> None:
    """An entry has the fields of a receiver's line under systemd, and the fields it was given."""
    with JournalFile(tmp_path / "x.journal") as written:
        written.append("hello", at_us=SOME_TIME_US, PRIORITY=4, _PID=42)
        written.append("another's", unit="other.service")
        written.append("nobody's", unit="")

    read = subprocess.run(
        ["journalctl", "--directory", tmp_path, "--output=json", "_SYSTEMD_UNIT=cis490-receiver.service"],
        check=True,
        capture_output=True,
    )
    (entry,) = map(json.loads, read.stdout.splitlines())
    expected = {
        "MESSAGE": "hello",
        "PRIORITY": "4",
        "_PID": "42",
        "SYSLOG_IDENTIFIER": "uvicorn",
        "_SYSTEMD_UNIT": "cis490-receiver.service",
        "__REALTIME_TIMESTAMP": str(SOME_TIME_US),
    }
    assert expected == {key: entry[key] for key in expected}


def test_a_field_may_occur_several_times(tmp_path: Path) -> None:
    """A list is a field that occurs once for each of its values."""
    with JournalFile(tmp_path / "x.journal") as written:
        written.append(None, MESSAGE=["one", b"two"])

    (got,) = [entry._get_all() for entry in entries(tmp_path)]
    assert got["MESSAGE"] == [b"one", b"two"]


def test_an_entry_may_have_no_message(tmp_path: Path) -> None:
    """With None, the field MESSAGE is left out."""
    with JournalFile(tmp_path / "x.journal") as written:
        written.append(None)

    (got,) = [entry._get_all() for entry in entries(tmp_path)]
    assert "MESSAGE" not in got


def test_a_live_reader_is_woken(tmp_path: Path) -> None:
    """A reader that waits on the directory is notified of each entry."""
    with JournalFile(tmp_path / "x.journal") as written:
        reader = journal.Reader(path=str(tmp_path))
        waiting = select.poll()
        waiting.register(reader.fileno(), reader.get_events())
        reader.seek_head()
        for number in range(5):
            written.append(str(number))
            while not reader._next():
                assert waiting.poll(READ_WITHIN_MS), "the reader was not woken"
                reader.process()
            assert reader._get("MESSAGE") == b"%d" % number


def test_a_file_can_be_written_on(tmp_path: Path) -> None:
    """A file that is opened again keeps its entries."""
    for word in ("first", "second"):
        with JournalFile(tmp_path / "x.journal") as written:
            written.append(word)

    assert [entry._get("MESSAGE") for entry in entries(tmp_path)] == [b"first", b"second"]


def test_a_name_that_no_field_can_have_is_refused(tmp_path: Path) -> None:
    """The journal would drop such a field without an error, so the writer raises one."""
    with JournalFile(tmp_path / "x.journal") as written, pytest.raises(ValueError, match="field's name: 'lower'"):
        written.append("x", lower="x")


def test_a_journal_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """The error has the reason that systemd-journal-remote gave."""
    with (
        pytest.raises(JournalFileError, match=r"ended with status 1.*No such file or directory"),
        JournalFile(tmp_path / "missing" / "x.journal"),
    ):
        pass
