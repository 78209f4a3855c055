"""Text as roff, for manual pages: what a shell or a file is to hold stays as it can be typed and copied."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# roff would make a hyphen or a quotation mark of these, or take them for its own.
_ESCAPES = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    '"': r"\(dq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    # A terminal of the locale C has no ellipsis, and would be shown nothing.
    "…": "...",
}

_LINE_LENGTH = 60
_groups = re.compile(r"[^|)]+[|)]*|[|)]+")
_code = re.compile(r"`([^`]+)`").split
_words = re.compile(r"(?<![\w-])(--?[a-z][\w-]*|[A-Z][A-Z-]*(?![\w-]))", re.ASCII).split


def page(name: str, section: int, version: str, body: Iterable[str]) -> str:
    """Make a page. It has no date, only the version, so that it is the same whenever it is made."""
    head = [
        f'.TH {escape(name.upper())} {section} "" "{escape(version)}"',
        '.\\" Ragged and unhyphenated: a name or a command that is broken in two cannot be copied.',
        ".nh",
        ".ad l",
    ]
    return "\n".join([*head, *body, ""])


def section(title: str) -> str:
    """Begin a section."""
    return f".SH {escape(title)}"


def subsection(title: str) -> str:
    """Begin a part of a section."""
    return f'.SS "{escape(title)}"'


def paragraph(text: str) -> list[str]:
    """Make a paragraph of prose."""
    return [".PP", prose(text)]


def item(tag: str, *lines: str) -> list[str]:
    """Make an entry of a list: what it is about, and lines that say what there is to say, all of them roff."""
    return [".TP", tag, *"\n.br\n".join(lines).splitlines()]


def example(lines: Iterable[str]) -> list[str]:
    """Show lines as they are."""
    return [".PP", ".EX", *(_at_start(escape(line)) for line in lines), ".EE"]


def examples(shown: Mapping[str, Sequence[str]]) -> list[str]:
    """Make the section of examples: what each is for, and its lines as they are typed."""
    body = [section("EXAMPLES")]
    for number, (purpose, lines) in enumerate(shown.items()):
        body += [*paragraph(f"{purpose}:")[number == 0 :], *example(lines)]
    return body


def prose(text: str) -> str:
    """Make roff of a text in which code stands between backticks."""
    parts = _code(" ".join(text.split()))
    return _at_start("".join(bold(part) if number % 2 else escape(part) for number, part in enumerate(parts)))


def usage(text: str) -> str:
    """Make roff of a usage: options as they are typed, what stands for something else set apart."""
    parts = []
    for number, part in enumerate(_words(text)):
        mark = escape if number % 2 == 0 else bold if part.startswith("-") else italic
        parts.append(mark(part))
    return "".join(parts)


def reference(name: str, section: int) -> str:
    """Refer to another page."""
    return f"{bold(name)}({section})"


def bold(text: str) -> str:
    """Format literal input. A word too long for a line may be broken after a group of a regular expression."""
    return f"\\fB{' '.join(map(_breakable, text.split(' ')))}\\fR"


def italic(text: str) -> str:
    """What stands for something else."""
    return f"\\fI{escape(text)}\\fR"


def escape(text: str) -> str:
    """Make roff of a text in which no character has a meaning."""
    return "".join(_ESCAPES.get(one, one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def _breakable(word: str) -> str:
    if len(word) <= _LINE_LENGTH:
        return escape(word)
    return r"\:".join(map(escape, _groups.findall(word)))


def _at_start(line: str) -> str:
    """Make a line that is not taken for a request."""
    return f"\\&{line}" if line.startswith(".") else line
