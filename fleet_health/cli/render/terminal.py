"""Output on a terminal: colours, its size, wrapping, and the pager."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RED, GREEN, YELLOW, DIM, BOLD = "31", "32", "33", "2", "1"

UNLIMITED = sys.maxsize
"""The width of an output that is not a terminal."""

_PLAIN_WIDTH, _PLAIN_HEIGHT = 80, 24
_NARROWEST = 8
# Joiners and selectors, which take no column.
_NO_COLUMN = frozenset("\u200b\u200c\u200d\ufe0e\ufe0f")


_colours = re.compile(r"\x1b\[[\d;]*m")
_parts = re.compile(r" +|[^ ]+").findall


class Paint:
    """Colours text, if colours are on."""

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on

    def __call__(self, text: str, *codes: str) -> str:
        """Return a text in some colours."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.is_on and codes and text else text


def paint_for(stream: object) -> Paint:
    """Return a paint with colours if the stream is a terminal, unless NO_COLOR is set (no-color.org) or it is dumb."""
    is_terminal = bool(getattr(stream, "isatty", lambda: False)())
    return Paint(is_on=is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def width() -> int:
    """Return the columns of the terminal; `UNLIMITED` if stdout is not a terminal, so that no output is cut."""
    return _size()[0] if sys.stdout.isatty() else UNLIMITED


def height() -> int:
    """Return the lines of the terminal."""
    return _size()[1]


def _size() -> tuple[int, int]:
    """Return the columns and lines of the terminal; COLUMNS and LINES are used only if it does not report them."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns = lines = 0
    return columns or _from_environment("COLUMNS") or _PLAIN_WIDTH, lines or _from_environment("LINES") or _PLAIN_HEIGHT


def _from_environment(name: str) -> int:
    """Return a size from the environment; 0 if it is not set."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else 0


def can_show(text: str) -> bool:
    """Return whether stdout can show all characters of a text, and the locale is not plain (LANG=C)."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LANG")
    if locale in {"C", "POSIX"} and not text.isascii():
        return False
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def columns_of(text: str) -> int:
    """Return the columns that a text takes: two for a wide letter, none for an accent or a colour."""
    if "\x1b" in text:  # our own colours, because others are escaped
        text = _colours.sub("", text)
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 - few texts need it

    return sum(0 if combining(one) or one in _NO_COLUMN else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def padded(text: str, columns: int) -> str:
    """Return a text, padded to a number of columns."""
    return text + " " * (columns - columns_of(text))


def cut(text: str, columns: int) -> str:
    """Return a text without colours, cut to a number of columns with a mark."""
    if columns_of(text) <= columns:
        return text
    return _beginning(text, max(0, columns - 1)) + ("…" if can_show("…") else "~")


def _beginning(text: str, columns: int) -> str:
    """Return the beginning of a text that fits into a number of columns."""
    if text.isascii():
        return text[:columns]
    taken = 0
    for index, character in enumerate(text):
        taken += columns_of(character)
        if taken > columns:
            return text[:index]
    return text


def wrapped(text: str, columns: int, indent: str = "") -> Iterator[str]:
    """Yield a text, wrapped between words at a number of columns. All lines but the first are indented.

    Spaces are kept, except at line breaks. A word longer than a line is broken, unless it is coloured.
    """
    if columns_of(text) <= columns:
        yield text
        return
    limit = max(columns, len(indent) + _NARROWEST)
    line, gap = text[: len(text) - len(text.lstrip())], ""
    for part in _parts(text.lstrip()):
        if part.isspace():
            gap = part
            continue
        if line.strip() and columns_of(line + gap + part) > limit:
            yield line
            line, gap = indent, ""
        rest, line, gap = part, line + gap, ""
        while (
            "\x1b" not in rest
            and columns_of(line + rest) > limit
            and (one := _beginning(rest, limit - columns_of(line)))
        ):
            yield line + one
            rest, line = rest[len(one) :], indent
        line += rest
    yield line


def show(lines: Sequence[str], *, is_paged: bool) -> None:
    """Print lines; with `is_paged`, through $PAGER if they do not fit on the terminal."""
    text = "\n".join(lines) + "\n"
    if not (is_paged and sys.stdout.isatty() and len(lines) >= height()):
        sys.stdout.write(text)
        return
    # Ctrl-C reaches the pager as well, and less continues after it. If this process exited, less would be killed and
    # leave the terminal without echo. Unlike SIG_IGN, a handler is not inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        # Like git, keep the colours, and leave the output on the screen.
        subprocess.run(
            shlex.split(os.environ.get("PAGER", "less")),
            input=text,
            text=True,
            errors="backslashreplace",
            check=False,
            env={"LESS": "FRX", **os.environ},
        )
    except (OSError, IndexError, ValueError):  # not found, empty, or with an unpaired quote
        sys.stdout.write(text)
    finally:
        signal.signal(signal.SIGINT, before)
