"""Our own log on stderr: sentences on a terminal, entries with fields in the journal, JSON for other programs."""

from __future__ import annotations

import ast
import json
import os
import pty
import socket
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fleet_health
from fleet_health.records.journal_socket import SOCKET, datagram
from fleet_health.service.log_sentences import SENTENCES, fields_in, sentence
from fleet_health.service.logging import _as_text, _describe_error, journal_fields
from tests.rig.journal_datagrams import fields_of_datagram

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = """
import sys
import structlog
from fleet_health.records import journal_socket
from fleet_health.service import logging as logs
if sys.argv[1:]:
    journal_socket.JournalSocket.__init__.__defaults__ = (sys.argv[1],)
logs.configure("info")
log = structlog.get_logger("x")
log.debug("not shown")
log.info("shown", key="grün", number=1, path=__import__("pathlib").Path("/a"))
log.warning("odd", name=b"\\xff", text="two\\nlines")
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("failed", exc_info=error)
facts = {"id": "3fa2c1", "hosts": "pi-*", "symptom": None, "author": "anna", "reason": "moving"}
logs.notice(log, "silence ended early", by="bo", **facts)
"""
PACKAGE = Path(fleet_health.__file__).parent
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")


def run(stderr: int, *arguments: str, **environment: str) -> None:
    """Run the program with a descriptor as its stderr."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    subprocess.run(command, stderr=stderr, env=os.environ | environment, check=True)


def test_other_programs_get_events_as_json_lines() -> None:
    """The event comes first, values of any type are written, and a traceback stays on its line."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, check=True)
    info, warning, error, notice = (json.loads(line) for line in done.stderr.splitlines())

    assert info == {"event": "shown", "key": "grün", "number": 1, "path": "/a", "level": "info"}
    assert list(info)[0] == "event"  # noqa: RUF015 - the order is what is asked for
    assert (warning["level"], warning["text"]) == ("warning", "two\nlines")
    assert (error["event"], error["error"]) == ("failed", "ZeroDivisionError: division by zero")
    assert error["exception"].endswith("ZeroDivisionError: division by zero")
    assert notice["level"] == "notice"


class Journald:
    """Both sockets of a journald: the one for entries, and the stream that stderr is connected to."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.path = str(directory / "socket")
        self.entries = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.entries.setblocking(False)  # noqa: FBT003 - its only argument
        self.stream, self.stderr = (stack.enter_context(one) for one in socket.socketpair())
        self.stream.setblocking(False)  # noqa: FBT003 - likewise

    def listen(self) -> None:
        """Read entries."""
        self.entries.bind(self.path)

    def run(self) -> None:
        """Run the program with this one's stream as its stderr."""
        state = os.fstat(self.stderr.fileno())
        run(self.stderr.fileno(), self.path, JOURNAL_STREAM=f"{state.st_dev}:{state.st_ino}")

    def taken(self) -> list[dict[str, str]]:
        """Return the entries that have arrived."""
        entries = []
        while True:
            try:
                entries.append(fields_of_datagram(self.entries.recv(1 << 20)))
            except BlockingIOError:
                return entries

    def lines(self) -> list[str]:
        """Return the lines that have arrived on stderr."""
        try:
            return self.stream.recv(1 << 20).decode().splitlines()
        except BlockingIOError:
            return []


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    """Make a journald that does not read entries yet."""
    with ExitStack() as stack:
        yield Journald(tmp_path, stack)


def test_in_the_journal_an_event_is_an_entry(journald: Journald) -> None:
    """A sentence, its priority, and each value as a field of its own."""
    journald.listen()
    journald.run()
    info, warning, error, notice = journald.taken()

    assert info == {
        "MESSAGE": "Shown.",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "fleet-health",
        "FLEET_EVENT": "shown",
        "FLEET_KEY": "grün",
        "FLEET_NUMBER": "1",
        "FLEET_PATH": "/a",
    }
    assert (warning["PRIORITY"], warning["FLEET_TEXT"]) == ("4", "two\nlines")
    assert (error["PRIORITY"], error["MESSAGE"]) == ("3", "Failed: ZeroDivisionError: division by zero.")
    assert error["FLEET_EXCEPTION"].startswith("Traceback (most recent call last):\n")
    assert notice["PRIORITY"] == "5"
    assert notice["MESSAGE"] == 'Silence 3fa2c1 of pi-* (every symptom), by anna for "moving", was ended early, by bo.'
    assert journald.lines() == []


def test_without_a_socket_of_journald_events_go_to_stderr(journald: Journald) -> None:
    """Each event is written whole, as a line with its priority, which journald removes."""
    journald.run()

    assert journald.taken() == []
    shown, odd, failed, *traceback, notice = journald.lines()
    assert shown == "<6>info: Shown. (key=grün, number=1, path=/a)"
    assert odd == "<4>warning: Odd. (name=b'\\xff', text=two\\nlines)"
    assert failed == "<3>error: Failed: ZeroDivisionError: division by zero."
    assert all(line.startswith("<3>    ") for line in traceback)
    assert notice.startswith("<5>notice: Silence 3fa2c1 ")


def fill(one: socket.socket, data: bytes) -> None:
    """Send until the socket is full."""
    with suppress(BlockingIOError):
        while True:
            one.send(data)


def test_a_journald_that_hangs_does_not_block_the_program(journald: Journald) -> None:
    """Both sockets are full: the program ends, and earlier lines of the stream stay whole."""
    journald.listen()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)  # noqa: FBT003 - its only argument
        other.connect(journald.path)
        fill(other, b"MESSAGE=full\n")
    journald.stderr.setblocking(False)  # noqa: FBT003 - likewise
    fill(journald.stderr, b"full\n")

    journald.run()

    assert {entry["MESSAGE"] for entry in journald.taken()} == {"full"}
    assert set(journald.lines()) <= {"full", "ful", "fu", "f"}


def test_a_journal_stream_that_is_not_our_stderr_is_ignored(journald: Journald) -> None:
    """The variable is inherited by programs whose stderr goes elsewhere."""
    journald.listen()
    run(journald.stderr.fileno(), journald.path, JOURNAL_STREAM="1:1")

    assert json.loads(journald.lines()[0])["event"] == "shown"
    assert journald.taken() == []


@pytest.mark.parametrize("no_color", ["1", ""])
def test_on_a_terminal_it_is_text(no_color: str) -> None:
    """A time, a level and a sentence; coloured, unless the user does not want that."""
    leader, follower = pty.openpty()
    run(follower, NO_COLOR=no_color, TERM="xterm")
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)

    assert "Shown. (key=grün, number=1, path=/a)\r\n" in shown
    assert "not shown" not in shown.lower()
    assert "{" not in shown
    assert ("\x1b[" in shown) is not bool(no_color)


@cache
def logged() -> list[tuple[str, str, set[str] | None]]:
    """Find each call in the source that logs an event: its place, the event, and its fields if all are known."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "demo" in path.relative_to(PACKAGE).parts or path.name == "logging.py":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Call):
                continue
            called, arguments = ast.unparse(node.func), list(node.args)
            if called not in {"notice", *(f"_log.{level}" for level in LEVELS)}:
                continue
            if called in {"notice", "_log.log"}:
                arguments = arguments[1:]
            where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
            event = arguments[0]
            assert isinstance(event, ast.Constant), f"{where}: an event is a constant, or it has no sentence"
            names = [keyword.arg for keyword in node.keywords]
            fields = {"error" if name == "exc_info" else str(name) for name in names}
            if called == "_log.exception":
                fields.add("error")
            found.append((where, str(event.value), None if None in names else fields))
    return found


def test_every_event_has_a_sentence_and_every_sentence_an_event() -> None:
    """And no sentence uses a field that no call passes."""
    calls = logged()
    given: dict[str, set[str]] = defaultdict(set)
    is_known: dict[str, bool] = defaultdict(lambda: True)
    for _, event, fields in calls:
        given[event] |= fields or set()
        is_known[event] &= fields is not None

    assert [f"{where}: {event}" for where, event, _ in calls if event not in SENTENCES] == []
    assert SENTENCES.keys() - given.keys() == set()
    for event, template in SENTENCES.items():
        if is_known[event]:
            assert fields_in(template) <= given[event], event
    assert len(calls) > 50


@pytest.mark.parametrize("event", SENTENCES)
def test_no_value_of_an_event_is_lost(event: str) -> None:
    """Each value is in a field of the entry, and in the line on a terminal."""
    fields = {"more"} | fields_in(SENTENCES[event])
    fields |= {name for _, one, names in logged() if one == event for name in names or ()}
    values = {name: f"value-of-{name}" for name in fields}
    written: dict[str, Any] = {"event": event, "level": "info", **values}
    entry, text = journal_fields(written), _as_text(written, is_coloured=False)

    assert entry["FLEET_EVENT"] == event
    assert {name: entry[f"FLEET_{name.upper()}"] for name in values} == values
    assert [value for value in values.values() if value not in text] == []
    assert "{" not in entry["MESSAGE"]


def test_an_event_without_its_fields_is_a_sentence_all_the_same() -> None:
    """Logging never fails, even if fields are missing or have another type."""
    for event in SENTENCES:
        assert sentence({"event": event})
        assert sentence({"event": event, **{key: [{"a": (1, 2.5)}] for key in fields_in(SENTENCES[event])}})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"event": "evaluated", "findings": 1, "new_alerts": 0, "ended": 2, "not_evaluated": ["silent", "blind"]},
            "Evaluated the fleet: 1 finding, 0 new alerts, 2 incidents ended; not evaluated: silent; blind.",
        ),
        (
            {"event": "evaluated", "findings": 0, "new_alerts": 1, "ended": 1, "not_evaluated": []},
            "Evaluated the fleet: 0 findings, 1 new alert, 1 incident ended.",
        ),
        (
            {"event": "source caught up", "source": "index", "read": 932, "rejected": {"no host": 2}},
            "The index was read up to the present: 932 lines, rejected: no host: 2.",
        ),
        (
            {"event": "silences cannot be used", "reason": "remove those rows."},
            "Silences cannot be used: remove those rows.",
        ),
        (
            {"event": "gaps in the journal, symptoms not ruled out", "hosts": {"fatal-only": 2}},
            (
                "The journal does not show the whole window, so symptoms cannot be ruled out for this many hosts:"
                " fatal-only: 2."
            ),
        ),
        ({"event": "silence removed from silences.json", "id": "a1"}, "Silence a1 was removed from silences.json."),
    ],
)
def test_a_sentence_is_well_formed(event: dict[str, Any], expected: str) -> None:
    """Numbers have plurals, missing fields leave nothing behind, and it ends with one full stop."""
    assert sentence(event) == expected


def test_the_sentence_names_the_first_error_of_a_group() -> None:
    """Groups may contain groups."""
    group = ExceptionGroup("parts", [ExceptionGroup("more", [OSError("no disk")]), ValueError("other")])
    event = _describe_error(None, "", {"event": "service failed", "exc_info": group})

    assert sentence(event) == "The service failed and exits: OSError: no disk."
    assert "ValueError: other" in event["exception"]


def test_a_hostile_value_stays_within_its_field() -> None:
    """It ends no field, begins none, moves no cursor, and fits into a datagram."""
    hostile = "\x1b[2J\nPRIORITY=0\n_UID=0\x00\u202e\udcff" + "x" * 1_000_000
    event = {"event": "lines rejected", "level": "warning", "latest": hostile, "reason": hostile, "count": 1}
    entry = journal_fields(event)
    sent = datagram(entry)

    assert fields_of_datagram(sent) == entry
    assert set(entry) == {
        *("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"),
        *("FLEET_EVENT", "FLEET_LATEST", "FLEET_REASON", "FLEET_COUNT"),
    }
    assert entry["PRIORITY"] == "4"
    assert entry["MESSAGE"].isprintable()
    assert all(line.isprintable() for line in entry["FLEET_LATEST"].split("\n"))
    assert len(sent) < 100_000


def test_names_of_fields_are_valid_in_the_journal() -> None:
    """Letters, digits and underscores, at most 64 of them; none that journald or systemd sets."""
    names = {f"FLEET_{name.upper()}" for _, _, fields in logged() for name in fields or ()}

    assert all(name.isascii() and name.replace("_", "").isalnum() and len(name) <= 64 for name in names)
    assert SOCKET == "/run/systemd/journal/socket"
