"""The state file: what must outlive a restart and cannot be read from the inputs. It is replaced as a whole.

It is written beside the old file and renamed over it, so a kill at any instant leaves either the old or the new one. It
begins with a version and a checksum of the rest. The content is never trusted: invalid values are left out, a copy of
the file is kept as `state.damaged`, and the service continues with the rest.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from fleet_health.errors import SinkUnavailable, printable
from fleet_health.files.safe_files import SafeDirectory, UnsafePathError
from fleet_health.records.atomic_file import replace_file, unavailable
from fleet_health.records.salvage import salvage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

State = TypeVar("State", bound=msgspec.Struct)

STATE_FILE = "state.json"
_VERSION = 2
"""Version 1 had no version and checksum. A new key does not change the version: an unknown key is ignored."""

SIZE_LIMIT = 64 << 20
"""How large the file may be, in bytes: ten times what 10,000 hosts with incidents need."""
_PROBLEM_LENGTH = 300

_HEADER_LENGTH = 100
# The header precedes the state's own keys, in the same JSON object.
_header = re.compile(rb'\{"version":(\d{1,9}),"sha256":"([0-9a-f]{64})"(?:,|(?=\}))').match


class StateFile(Generic[State]):
    """The state file of a state directory, for one type of state."""

    def __init__(self, directory: Path, kind: type[State]) -> None:
        self.path = directory / STATE_FILE
        self.problems: list[str] = []
        """One text for each value that was left out when the state was last loaded, with the reason."""
        self._kind = kind

    def load(self, examine: Callable[[State], tuple[State, list[str]]] | None = None) -> State | None:
        """Read the state; return None if there is none yet.

        Args:
            examine: Removes values from a state that its types allow, but that cannot be; returns one text for each.

        Raises:
            SinkUnavailable: Nothing of the file can be read. It has been set aside, if that was possible.

        """
        self.problems = []
        try:
            with SafeDirectory(self.path.parent) as directory:
                content = directory.read_file(self.path.name, SIZE_LIMIT)
        except FileNotFoundError:
            return None
        except UnsafePathError as error:
            aside = self._set_aside()
            raise SinkUnavailable(f"{error.filename}: {error.strerror}{aside}") from error
        except OSError as error:
            raise unavailable(self.path, error) from error
        try:
            decoded = msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise SinkUnavailable(f"{self.path}: damaged{self._set_aside()}: {error}") from error
        if problem := _header_problem(content):
            self.problems.append(problem)
        state, problems = salvage(decoded, self._kind)
        if state is None:
            raise SinkUnavailable(f"{self.path}: damaged{self._set_aside()}: {problems[0]}")
        self.problems += problems
        if examine is not None:
            state, problems = examine(state)
            self.problems += problems
        self.problems = [printable(problem)[:_PROBLEM_LENGTH] for problem in self.problems]
        if self.problems:
            with suppress(SinkUnavailable):
                replace_file(self._aside, content)
        return state

    def save(self, state: bytes) -> None:
        """Replace the state by another, encoded by `encoded`.

        Raises:
            SinkUnavailable: The old state is still in place.

        """
        replace_file(self.path, state)

    @property
    def _aside(self) -> Path:
        return self.path.with_suffix(".damaged")

    def _set_aside(self) -> str:
        """Rename whatever is at the path; return a text about it for an error, empty if it could not be renamed."""
        try:
            with SafeDirectory(self.path.parent) as directory:
                directory.refuse_root_elsewhere()
                directory.rename(self.path.name, self._aside.name)
        except OSError:
            return ""
        return f", kept as {self._aside.name}"


def encoded(state: msgspec.Struct) -> bytes:
    """Encode a state for `StateFile.save`."""
    body = msgspec.json.encode(state)[1:]
    digest = hashlib.sha256(body).hexdigest().encode("ascii")
    comma = b"" if body == b"}" else b","
    return b'{"version":%d,"sha256":"%b"%b%b\n' % (_VERSION, digest, comma, body)


def _header_problem(content: bytes) -> str:
    """Return the problem of the version or the checksum; empty if there is none, or no checksum: see `_VERSION`."""
    match = _header(content)
    if match is None:
        is_of_version_1 = b'"version"' not in content[:_HEADER_LENGTH] and b'"sha256"' not in content[:_HEADER_LENGTH]
        return "" if is_of_version_1 else "the version and the checksum are not where they were written"
    if (version := int(match[1])) != _VERSION:
        return f"expected version {_VERSION}, found version {version}; another fleet-health wrote it"
    body = content[match.end() :].removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest().encode("ascii") != match[2]:
        return "the checksum does not fit: somebody or something has changed the file"
    return ""
