"""The exceptions, and text that is safe to show. Bad *input* is no exception: it is counted as a `Rejection`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# C0, DEL and C1, line separators, characters that change the direction of writing, and surrogates.
_unprintable = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Escape characters that could make a terminal or a reader see something else than what is written."""
    return _unprintable.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


# Characters with a meaning in a shell, and everything that is not printable, including undecoded bytes.
_unsafe = re.compile(r"[$`\\;&|<>(){}!']|" + _unprintable.pattern)


def shell_safe(text: str) -> str:
    r"""Escape untrusted text byte by byte as `\xNN`, so that no shell or terminal interprets it.

    Use it for text that is kept in files and the journal. Bytes that were decoded with `surrogateescape` are escaped as
    the original bytes. Backslashes are escaped too, so that different texts stay different.
    """
    return _unsafe.sub(lambda match: "".join(f"\\x{octet:02x}" for octet in _octets(match[0])), text)


def _octets(character: str) -> bytes:
    is_raw = "\udc80" <= character <= "\udcff"
    return character.encode("utf-8", "surrogateescape" if is_raw else "surrogatepass")


class FleetHealthError(Exception):
    """The base class of all exceptions that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a configuration file.

    Attributes:
        place: The key, dotted as in TOML (`detectors.silent.after`), or `line 3, column 7`.
        expected: The kind of value that is valid.
        found: The value in the file, as written.
        hint: What to do about it; empty if that is obvious.

    """

    place: str
    expected: str
    found: str
    hint: str = ""

    def __str__(self) -> str:
        """Return the problem on one printable line."""
        hint = f" ({self.hint})" if self.hint else ""
        return printable(f"{self.place}: expected {self.expected}, found {self.found}{hint}")


class ConfigError(FleetHealthError):
    """A configuration cannot be used. `problems` are all of its problems, not only the first."""

    def __init__(self, path: Path | str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))


class SourceUnavailable(FleetHealthError):  # noqa: N818 - it names a temporary state, not a mistake
    """A source cannot be read now. The service retries.

    `str()` says what is wrong, and how the person who ran a command can fix it.
    """

    @property
    def of_service(self) -> str:
        """What is wrong, and how it can be fixed if the service found it."""
        return str(self)


class SourceMissing(SourceUnavailable):
    """There is nothing to read: the file or journal does not exist yet."""


class SourceRefused(SourceUnavailable):
    """The source exists, but access is denied or it is not what it should be. An operator has to fix that."""


class SourceForbidden(SourceRefused):
    """The source exists, but this user may not read it."""

    def __init__(self, place: str, *, service: str, person: str) -> None:
        """Report that a place cannot be read.

        Args:
            place: The place.
            service: What to do so that the service can read it.
            person: What a person who ran a command can do.

        """
        super().__init__(f"{place}: permission denied; {person}")
        self._of_service = f"{place}: permission denied; {service}"

    @property
    def of_service(self) -> str:
        """What is wrong, and what the user of the service lacks."""
        return self._of_service


class SourceFailing(SourceUnavailable):
    """Reading a source failed unexpectedly."""


class SinkUnavailable(FleetHealthError):  # noqa: N818 - as above
    """Alerts cannot be written now. They are kept and retried."""


class RestartNeeded(FleetHealthError):  # noqa: N818 - as above
    """The service must be restarted to restore the saved state; `str()` says why."""


class ScratchUnavailable(FleetHealthError):  # noqa: N818 - as above
    """A command cannot write its temporary files; `str()` says how to fix that."""


class ProcessFailed(FleetHealthError):  # noqa: N818 - as above
    """A child process cannot be started, or was killed; `str()` says what the reason may be."""


class PathHangs(SourceFailing, SinkUnavailable):
    """A call for a path has not returned in time. The path may be one of a source or of a sink."""


class SinkTaken(SinkUnavailable):
    """Another service writes its alerts to the same alert log."""
