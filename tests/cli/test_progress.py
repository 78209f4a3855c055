"""How far a command has come is shown on a terminal, on one line of it."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from contextlib import suppress

import pytest

from fleet_health.cli.render.progress import Progress


def shown(columns: int) -> list[str]:
    """Show three quarters on a terminal of so many columns, and return each text that was written over the last."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with os.fdopen(writer, "w") as stream, Progress(stream) as progress:
        progress.begin("reading", 0, 100)
        progress.begin("evaluating", 25, 125)
        progress.reach(100)  # too soon after the other to be shown
    written = b""
    with os.fdopen(reader, "rb", buffering=0) as terminal, suppress(OSError):  # EIO is the end, of a terminal
        while more := terminal.read(4096):
            written += more
    return written.decode().split("\r\x1b[K")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "evaluating           [                              ]   0%"),
        (0, "evaluating           [                              ]   0%"),
        (40, "evaluating           [           ]   0%"),
        (20, "evaluating         "),
    ],
)
def test_a_bar_is_no_longer_than_the_line(columns: int, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is erased at the end. A terminal with no columns does not report its width."""
    monkeypatch.setattr("fleet_health.cli.render.progress._EVERY_S", 3_600)
    assert shown(columns)[2:] == [line, ""]


def test_elsewhere_nothing_is_shown() -> None:
    """A file or the journal gets no progress."""
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.begin("reading", 0, 100)

    assert stream.getvalue() == ""
