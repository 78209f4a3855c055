"""What the terminal can show: colours, its size, and more than fits on it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RED, GREEN, YELLOW, DIM, BOLD = "31", "32", "33", "2", "1"

_PLAIN_WIDTH, _PLAIN_HEIGHT = 80, 24


class Paint:
    """Colours text, if that is wanted."""

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on

    def __call__(self, text: str, *codes: str) -> str:
        """Return a text in a colour."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.is_on and codes and text else text


def paint_for(stream: object) -> Paint:
    """Colour what goes to a terminal, unless NO_COLOR is set (no-color.org) or it is a dumb one."""
    is_terminal = bool(getattr(stream, "isatty", lambda: False)())
    return Paint(is_on=is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def width() -> int:
    """Return the columns that there are: 80 where nobody says."""
    return _size("COLUMNS", lambda size: size.columns) or _PLAIN_WIDTH


def height() -> int:
    """Return the lines that there are."""
    return _size("LINES", lambda size: size.lines) or _PLAIN_HEIGHT


def _size(variable: str, of: Callable[[os.terminal_size], int]) -> int:
    """Return what a variable says, or else the terminal; 0 where neither does. `shutil` has it too; it loads slowly."""
    said = os.environ.get(variable, "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return of(os.get_terminal_size(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):  # no terminal; closed; none at all
        return 0


def can_show(text: str) -> bool:
    """Return whether stdout has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def cut(text: str, columns: int) -> str:
    """Cut a text without colours to so many columns, and show that it was."""
    if len(text) <= columns:
        return text
    return text[: max(0, columns - 1)] + ("…" if can_show("…") else "~")


def show(lines: Sequence[str], *, is_paged: bool) -> None:
    """Print lines; on a terminal that is too small for them through $PAGER, if that is wanted."""
    text = "\n".join(lines) + "\n"
    if not (is_paged and sys.stdout.isatty() and len(lines) >= height()):
        sys.stdout.write(text)
        return
    # Ctrl-C reaches the pager as well, and less goes on after it: if we ended, it would be killed, and the terminal
    # left without echo. A handler, unlike SIG_IGN, is not inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        # As git does: keep the colours, and leave what was shown on the screen.
        subprocess.run(
            shlex.split(os.environ.get("PAGER", "less")),
            input=text,
            text=True,
            errors="backslashreplace",
            check=False,
            env={"LESS": "FRX", **os.environ},
        )
    except (OSError, IndexError, ValueError):  # it is not there; it is empty; it has a quote too many
        sys.stdout.write(text)
    finally:
        signal.signal(signal.SIGINT, before)
