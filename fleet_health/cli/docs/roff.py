"""Format text as roff for manual pages, such that commands and settings can be copied from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# roff would convert these to typographic hyphens and quotation marks, or interpret them.
_ESCAPES = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    '"': r"\(dq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    # A terminal with the locale C cannot show an ellipsis.
    "…": "...",
}

_LINE_LENGTH = 60
_groups = re.compile(r"[^|)]+[|)]*|[|)]+")
_code = re.compile(r"`([^`]+)`").split
_words = re.compile(r"(?<![\w-])(--?[a-z][\w-]*|[A-Z][A-Z-]*(?![\w-]))", re.ASCII).split


def page(name: str, section: int, version: str, body: Iterable[str]) -> str:
    """Return a page. It has the version but no date, so that builds are reproducible."""
    head = [
        f'.TH {escape(name.upper())} {section} "" "{escape(version)}"',
        '.\\" Ragged and unhyphenated, because names and commands that are broken cannot be copied.',
        ".nh",
        ".ad l",
        ".ds AD l",  # from groff 1.23 on, each paragraph begins with this adjustment
    ]
    return "\n".join([*head, *body, ""])


def section(title: str) -> str:
    """Return the heading of a section."""
    return f".SH {escape(title)}"


def subsection(title: str) -> str:
    """Return the heading of a subsection."""
    return f'.SS "{escape(title)}"'


def paragraph(text: str) -> list[str]:
    """Return a paragraph of prose."""
    return [".PP", prose(text)]


def item(tag: str, *lines: str) -> list[str]:
    """Return an entry of a list: its tag, and the lines of its text. All are roff."""
    return [".TP", tag, *"\n.br\n".join(lines).splitlines()]


def example(lines: Iterable[str]) -> list[str]:
    """Return lines that are shown unchanged."""
    return [".PP", ".EX", *(_at_start(escape(line)) for line in lines), ".EE"]


def examples(shown: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the section of examples, each with its purpose and its lines."""
    body = [section("EXAMPLES")]
    for number, (purpose, lines) in enumerate(shown.items()):
        body += [*paragraph(f"{purpose}:")[number == 0 :], *example(lines)]
    return body


def prose(text: str) -> str:
    """Return a text as roff, with code in place of backticks."""
    parts = _code(" ".join(text.split()))
    return _at_start("".join(bold(part) if number % 2 else escape(part) for number, part in enumerate(parts)))


def usage(text: str) -> str:
    """Return a usage as roff, with literal options in bold and placeholders in italics."""
    parts = []
    for number, part in enumerate(_words(text)):
        mark = escape if number % 2 == 0 else bold if part.startswith("-") else italic
        parts.append(mark(part))
    return "".join(parts)


def reference(name: str, section: int) -> str:
    """Return a reference to another page."""
    return f"{bold(name)}({section})"


def bold(text: str) -> str:
    """Return literal input in bold. A long word may be broken after a group of a regular expression."""
    return f"\\fB{' '.join(map(_breakable, text.split(' ')))}\\fR"


def italic(text: str) -> str:
    """Return a placeholder in italics."""
    return f"\\fI{escape(text)}\\fR"


def escape(text: str) -> str:
    """Return a text as roff, with all characters escaped."""
    return "".join(_ESCAPES.get(one, one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def _breakable(word: str) -> str:
    if len(word) <= _LINE_LENGTH:
        return escape(word)
    return r"\:".join(map(escape, _groups.findall(word)))


def _at_start(line: str) -> str:
    """Return a line, escaped so that it is not interpreted as a request."""
    return f"\\&{line}" if line.startswith(".") else line
