"""What can go wrong, as types. Bad *input* is not here: it is a counted `Rejection`, never an exception."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# C0, DEL and C1, the line separators, and what turns the direction of writing.
_unprintable = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Escape what could make a terminal, or the eye, see something else than what is written."""
    return _unprintable.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


# What a shell gives a meaning to, and everything that is not printable, undecoded bytes among it.
_live = re.compile(r"[$`\\;&|<>(){}!']|" + _unprintable.pattern)


def shell_safe(text: str) -> str:
    r"""Escape a stranger's text byte by byte as `\xNN`, so that no shell or terminal that is given it obeys it.

    It is for text that is kept in files and the journal. Bytes that were decoded by `surrogateescape` are written as
    themselves. A backslash is escaped too, so that different texts stay different.
    """
    return _live.sub(lambda match: "".join(f"\\x{octet:02x}" for octet in _octets(match[0])), text)


def _octets(character: str) -> bytes:
    is_raw = "\udc80" <= character <= "\udcff"
    return character.encode("utf-8", "surrogateescape" if is_raw else "surrogatepass")


class FleetHealthError(Exception):
    """Everything that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a configuration file.

    Attributes:
        place: The key, dotted as in TOML (`detectors.silent.after`), or `line 3, column 7`.
        expected: What would have been right.
        found: What stands there, as written.
        hint: What to do about it; empty if that is plain.

    """

    place: str
    expected: str
    found: str
    hint: str = ""

    def __str__(self) -> str:
        """Return it in one line."""
        hint = f" ({self.hint})" if self.hint else ""
        return printable(f"{self.place}: expected {self.expected}, found {self.found}{hint}")


class ConfigError(FleetHealthError):
    """A configuration cannot be used. It holds every problem, not only the first."""

    def __init__(self, path: Path | str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))


class SourceUnavailable(FleetHealthError):  # noqa: N818 - it names a state that passes, not a mistake
    """A source cannot be read now. It is tried again; `str()` says what is wrong and what would mend it."""

    @property
    def by_hand(self) -> str:
        """What is wrong, and what the person who has run a command can do about it."""
        return str(self)


class SourceMissing(SourceUnavailable):
    """There is nothing to read: no such file, no journal yet."""


class SourceRefused(SourceUnavailable):
    """There is something that may not be read, or is not what it should be. Somebody has to mend that."""


class SourceForbidden(SourceRefused):
    """There is something that this user may not read. `str()` says what the service's user lacks."""

    def __init__(self, place: str, *, service: str, person: str) -> None:
        """Take what may not be read, and what the user of the service must be given, or a person must do."""
        super().__init__(f"{place}: permission denied; {service}")
        self._by_hand = f"{place}: permission denied; {person}"

    @property
    def by_hand(self) -> str:
        """What the person who has run a command can do about it."""
        return self._by_hand


class SourceFailing(SourceUnavailable):
    """Reading failed, which it should not."""


class SinkUnavailable(FleetHealthError):  # noqa: N818 - as above
    """Alerts cannot be written now. They are kept and tried again."""


class RestartNeeded(FleetHealthError):  # noqa: N818 - as above
    """The service has ended so that the next one begins from its saved state; `str()` says why."""


class ScratchUnavailable(FleetHealthError):  # noqa: N818 - as above
    """There is no room for what a command puts aside while it works; `str()` says what would mend it."""


class ProcessFailed(FleetHealthError):  # noqa: N818 - as above
    """A process that was to work beside us cannot be begun, or was killed; `str()` says what may be the reason."""


class PathHangs(SourceFailing, SinkUnavailable):
    """A call that touches a path has not returned in time; the path may be read from or written to."""


class SinkTaken(SinkUnavailable):
    """Another service writes its alerts there."""
