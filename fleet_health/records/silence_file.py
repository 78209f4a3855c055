"""`silences.json` in the state directory, which `silence` and the service write, and the service reads at each tick."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from fleet_health.alerting.silences import ACTIVE_LIMIT, Silence, TooManySilences, admitted, named_by
from fleet_health.errors import SinkUnavailable
from fleet_health.files.lock_wait import wait_for_lock
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.model.instant import HOUR_US, Instant
from fleet_health.model.subject import subject_glob
from fleet_health.parsing.timestamp import parse_time
from fleet_health.records.atomic_file import DIRECTORY_MODE, replace_file, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from pathlib import Path

_NAME, _LOCK = "silences.json", "silences.lock"
# Users can look up past silences, and a service that was stopped still learns that a silence has ended.
KEPT_DAYS = 14
"""How many days a silence is kept after its end."""
_KEPT_US = KEPT_DAYS * 24 * HOUR_US
_VERSION = 1
# Several times the size of the largest admitted silences in the largest admitted number.
_SIZE_LIMIT = 2 << 20


class _Row(msgspec.Struct):
    id: str
    hosts: str
    symptom: str | None
    starts_at_wall: str
    ends_at_wall: str
    reason: str
    author: str
    is_until_resolved: bool = False
    is_resolved: bool = False
    ended_by: str | None = None


class _Header(msgspec.Struct):
    version: int


class _Document(msgspec.Struct):
    silences: list[_Row]
    version: int = _VERSION


def silence_of(row: Mapping[str, object]) -> Silence:
    """Return the silence in a row of the file.

    Raises:
        ValueError: The row is not a silence.

    """
    return _silence(msgspec.convert(row, _Row))


def _silence(row: _Row) -> Silence:
    return Silence(
        id=row.id,
        hosts=subject_glob(row.hosts),
        symptom=row.symptom,
        starts_at=parse_time(row.starts_at_wall),
        ends_at=parse_time(row.ends_at_wall),
        reason=row.reason,
        author=row.author,
        is_until_resolved=row.is_until_resolved,
        is_resolved=row.is_resolved,
        ended_by=row.ended_by or "",
    )


class SilenceFile:
    """The file of silences in a state directory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / _NAME

    def load(self) -> list[Silence]:
        """Return all silences, including those that ended in the last 14 days; empty if there is no file.

        Raises:
            SinkUnavailable: The file cannot be read, is too long, or is damaged. It is left unchanged.

        """
        return self.decode(self.read())

    def read(self) -> bytes:
        """Return the content of the file; empty if it does not exist.

        Raises:
            SinkUnavailable: The file cannot be read, or is longer than 2 MiB.

        """
        try:
            with SafeDirectory(self.path.parent) as directory:
                content = directory.read_file(self.path.name, _SIZE_LIMIT)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise unavailable(self.path, error) from error
        if not content:
            raise SinkUnavailable(f"{self.path}: damaged (it is empty); remove it to end all silences")
        return content

    def decode(self, content: bytes) -> list[Silence]:
        """Return the silences in the content of the file. Empty content contains none.

        Raises:
            SinkUnavailable: The content is damaged or of another version.

        """
        if not content:
            return []
        try:
            if (version := msgspec.json.decode(content, type=_Header).version) != _VERSION:
                raise SinkUnavailable(
                    f"{self.path}: expected version {_VERSION}, found version {version}, from another version of"
                    " fleet-health; use that one, or remove the file to end all silences"
                )
            return [_silence(row) for row in msgspec.json.decode(content, type=_Document).silences]
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise SinkUnavailable(
                f"{self.path}: damaged ({error}); repair it, or remove it to end all silences"
            ) from error

    def add(self, silence: Silence, now: Instant) -> None:
        """Add a silence.

        Raises:
            TooManySilences: The limit of active silences is reached; nothing was changed.
            SinkUnavailable: Nothing was changed.

        """

        def add(silences: list[Silence]) -> list[Silence]:
            if sum(one.ends_at > now for one in silences) >= ACTIVE_LIMIT:
                raise TooManySilences
            return [*silences, silence]

        self._change(add, now)

    def end(self, what: str, now: Instant, by: str) -> list[Silence]:
        """End the silences that an id, a host name or a glob selects, and return them.

        Args:
            what: The id, host name or glob.
            now: The present.
            by: The user who ends them.

        Raises:
            SinkUnavailable: Nothing was changed.

        """
        return self._end(lambda silences: named_by(silences, what, now), lambda one: one.ended(now, by=by), now)

    def resolve(self, ids: Container[str], now: Instant) -> list[Silence]:
        """End the acknowledging silences with some ids, because their incidents are resolved, and return them.

        Raises:
            SinkUnavailable: Nothing was changed.

        """

        def waiting(silences: list[Silence]) -> list[Silence]:
            return [one for one in silences if one.id in ids and one.is_until_resolved and one.ends_at > now]

        return self._end(waiting, lambda one: one.ended(now, is_resolved=True), now)

    def _end(
        self, choose: Callable[[list[Silence]], list[Silence]], end: Callable[[Silence], Silence], now: Instant
    ) -> list[Silence]:
        ended: list[Silence] = []

        def change(silences: list[Silence]) -> list[Silence]:
            chosen = choose(silences)
            ended.extend(map(end, chosen))
            return [*(one for one in silences if one not in chosen), *ended]

        self._change(change, now)
        return ended

    def _change(self, change: Callable[[list[Silence]], Sequence[Silence]], now: Instant) -> None:
        """Replace the silences by the result of `change`, without losing concurrent changes."""
        with self._locked():
            silences, _ = admitted(change(self.load()), now)
            silences = [one for one in silences if now - one.ends_at < _KEPT_US]
            rows = [msgspec.convert(one.row(), _Row) for one in silences]
            replace_file(self.path, msgspec.json.format(msgspec.json.encode(_Document(rows))) + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with SafeDirectory(self.path.parent, create_mode=DIRECTORY_MODE) as directory:
                # It may belong to the owner of the directory. Other users then get an error, and ask the service
                # instead.
                fd = directory.open_file(_LOCK, os.O_RDWR, create_mode=0o600)
        except OSError as error:
            raise unavailable(self.path.with_name(_LOCK), error) from error
        try:
            self._lock(fd)
            yield
        finally:
            os.close(fd)

    def _lock(self, fd: int) -> None:
        """Wait for the lock, with a timeout, because the service must keep responding."""

        def take() -> bool:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_for_lock(take, self.path.with_name(_LOCK))
