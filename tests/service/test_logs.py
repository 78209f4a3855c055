"""Our own log on stderr: JSON where a program reads it, with a priority where journald does."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from fleet_health.service import logging as logs
logs.configure("info")
log = structlog.get_logger("x")
log.debug("not shown")
log.info("shown", key="grün", number=1, path=__import__("pathlib").Path("/a"))
log.warning("odd", name=b"\\xff", text="two\\nlines")
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("failed", exc_info=error)
"""


def run(stderr: int, **environment: str) -> None:
    """Run the program with a descriptor as its stderr."""
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=stderr, env=os.environ | environment, check=True)


def test_elsewhere_each_event_is_a_line_of_json() -> None:
    """The event comes first, values of any type are written, a traceback stays within its line."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, check=True)
    info, warning, error = (json.loads(line) for line in done.stderr.splitlines())

    assert info == {"event": "shown", "key": "grün", "number": 1, "path": "/a", "level": "info"}
    assert list(info)[0] == "event"  # noqa: RUF015 - the order is what is asked for
    assert (warning["level"], warning["text"]) == ("warning", "two\nlines")
    assert error["event"] == "failed"
    assert "ZeroDivisionError: division by zero" in error["exception"]


def test_for_journald_each_line_has_its_priority() -> None:
    """Under systemd, stderr is a socket that JOURNAL_STREAM names."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        state = os.fstat(theirs.fileno())
        run(theirs.fileno(), JOURNAL_STREAM=f"{state.st_dev}:{state.st_ino}")
        lines = ours.recv(1 << 20).splitlines()

    assert [line[:3] for line in lines] == [b"<6>", b"<4>", b"<3>"]
    assert [json.loads(line[3:])["event"] for line in lines] == ["shown", "odd", "failed"]


def test_a_journal_stream_that_is_not_our_stderr_is_ignored() -> None:
    """The variable is inherited by programs whose stderr goes elsewhere."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        run(theirs.fileno(), JOURNAL_STREAM="1:1")
        lines = ours.recv(1 << 20).splitlines()

    assert json.loads(lines[0])["event"] == "shown"


@pytest.mark.parametrize("no_color", [True, False])
def test_on_a_terminal_it_is_text(no_color: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Coloured, unless the user does not want that."""
    leader, follower = pty.openpty()
    run(follower, **({"NO_COLOR": "1"} if no_color else {}))
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)

    assert "shown" in shown
    assert "not shown" not in shown
    assert ("\x1b[" in shown) is not no_color
