"""The state file, for facts that must outlive a restart and cannot be read from the sources again.

A new file is written beside the old one and renamed over it, so a kill at any instant leaves one of them complete. The
file begins with a version and a checksum of the rest. Its content is never trusted: invalid values are left out, a copy
of the file is kept as `state.damaged`, and the service continues with the rest.
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
"""Version 1 had no version and no checksum. New keys do not change the version, because unknown keys are ignored."""

SIZE_LIMIT = 64 << 20
"""The largest size of the file, in bytes: ten times the size for 10,000 hosts with incidents."""
_PROBLEM_LENGTH = 300

_HEADER_LENGTH = 100
# The header precedes the keys of the state, in the same JSON object.
_header = re.compile(rb'\{"version":(\d{1,9}),"sha256":"([0-9a-f]{64})"(?:,|(?=\}))').match


class StateFile(Generic[State]):
    """The state file of a state directory, for one type of state."""

    def __init__(self, directory: Path, kind: type[State]) -> None:
        self.path = directory / STATE_FILE
        self.problems: list[str] = []
        """One text for each value that the latest load left out, with the reason."""
        self._kind = kind

    def load(self, examine: Callable[[State], tuple[State, list[str]]] | None = None) -> State | None:
        """Return the state; None if there is none yet.

        Args:
            examine: Removes impossible values that the types of the state allow, and returns one text for each.

        Raises:
            SinkUnavailable: No part of the file can be read. It was set aside if possible.

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
        """Replace the state by a new one, which `encoded` returned.

        Raises:
            SinkUnavailable: The state could not be replaced; the old one is still in place.

        """
        replace_file(self.path, state)

    @property
    def _aside(self) -> Path:
        return self.path.with_suffix(".damaged")

    def _set_aside(self) -> str:
        """Rename the file at the path. Return a text about it for an error; empty if it could not be renamed."""
        try:
            with SafeDirectory(self.path.parent) as directory:
                directory.refuse_root_elsewhere()
                directory.rename(self.path.name, self._aside.name)
        except OSError:
            return ""
        return f", kept as {self._aside.name}"


def encoded(state: msgspec.Struct) -> bytes:
    """Return a state as bytes for `StateFile.save`."""
    body = msgspec.json.encode(state)[1:]
    digest = hashlib.sha256(body).hexdigest().encode("ascii")
    comma = b"" if body == b"}" else b","
    return b'{"version":%d,"sha256":"%b"%b%b\n' % (_VERSION, digest, comma, body)


def _header_problem(content: bytes) -> str:
    """Return the problem with the version or the checksum; empty if there is none, or in version 1."""
    match = _header(content)
    if match is None:
        is_of_version_1 = b'"version"' not in content[:_HEADER_LENGTH] and b'"sha256"' not in content[:_HEADER_LENGTH]
        return "" if is_of_version_1 else "the version and the checksum are missing"
    if (version := int(match[1])) != _VERSION:
        return f"expected version {_VERSION}, found version {version}, from another version of fleet-health"
    body = content[match.end() :].removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest().encode("ascii") != match[2]:
        return "the checksum is wrong, so the file was changed"
    return ""
