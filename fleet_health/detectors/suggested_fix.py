"""What to do about a symptom: one or two sentences, in which `$host` stands for the host."""

from __future__ import annotations

import shlex
from string import Template

NAMES = frozenset({"host"})
"""The names that a template may use."""


class SuggestedFix:
    """A text with `$host` in it. Within backticks it is a command, so there the host is quoted for the shell."""

    __slots__ = ("_format", "text")

    def __init__(self, text: str) -> None:
        """Take a text.

        Raises:
            ValueError: It contains a lone `$`, or a name other than the host.

        """
        template = Template(text)
        if not template.is_valid():
            raise ValueError("a $ that starts no name; write $$ for a plain dollar sign")
        if unknown := sorted(set(template.get_identifiers()) - NAMES):
            raise ValueError(f"${unknown[0]}, which is not known here; $host is the only name")
        self.text = text
        # Templates search by a pattern, so each name is found once and not for every finding. With the backticks as
        # separators, every second part is a command.
        parts = text.replace("%", "%%").split("`")
        parts[::2] = [Template(part).substitute(host="%(host)s") for part in parts[::2]]
        parts[1::2] = [Template(part).substitute(host="%(quoted)s") for part in parts[1::2]]
        self._format = "`".join(parts)

    def __eq__(self, other: object) -> bool:
        """Two are equal if their texts are."""
        return isinstance(other, SuggestedFix) and other.text == self.text

    def __hash__(self) -> int:
        """Go with equality."""
        return hash(self.text)

    def __repr__(self) -> str:
        """Show the text."""
        return f"SuggestedFix({self.text!r})"

    def render(self, host: str) -> str:
        """Write the text for one host."""
        return self._format % {"host": host, "quoted": shlex.quote(host)}
