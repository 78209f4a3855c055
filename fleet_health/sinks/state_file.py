"""What the service must know after a restart and cannot read from its inputs: one small file, replaced whole.

It is written beside the old one and renamed over it, so that a kill at any instant leaves the one or the other. What
cannot be read is set aside and said: the service then goes on as on its first day.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from fleet_health.errors import SinkUnavailable
from fleet_health.sinks.replacement import replace_file

if TYPE_CHECKING:
    from pathlib import Path

State = TypeVar("State", bound=msgspec.Struct)

STATE_FILE = "state.json"


class StateFile(Generic[State]):
    """The file of a state directory, with one type of state in it."""

    def __init__(self, directory: Path, kind: type[State]) -> None:
        self.path = directory / STATE_FILE
        self._kind = kind

    def load(self) -> State | None:
        """Read the state; None if there is none yet.

        Raises:
            SinkUnavailable: It cannot be read. If that is because it is damaged, it has been set aside.

        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=self._kind)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SinkUnavailable(f"{self.path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            aside = self.path.with_suffix(".damaged")
            with suppress(OSError):
                self.path.replace(aside)
            raise SinkUnavailable(f"{self.path}: damaged, kept as {aside.name}: {error}") from error

    def save(self, state: bytes) -> None:
        """Replace the state by another, as `encoded` gave it.

        Raises:
            SinkUnavailable: The old one is still there.

        """
        replace_file(self.path, state)


def encoded(state: msgspec.Struct) -> bytes:
    """Encode a state for `StateFile.save`."""
    return msgspec.json.encode(state) + b"\n"
