"""The progress of a command, on one line of a terminal; nothing elsewhere."""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant

_NAME_WIDTH, _WIDTH, _AROUND = 20, 30, 9
_PLAIN_WIDTH = 80
_EVERY_S = 0.1


class Progress:
    """A bar that moves through a stretch of time."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._is_on = stream.isatty()
        self._what = ""
        self._since = self._until = 0
        self._shown_at = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_on:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def begin(self, what: str, since: Instant, until: Instant) -> None:
        """Begin something that goes from one instant to another."""
        self._what, self._since, self._until, self._shown_at = what, since, until, -math.inf
        self.reach(since)

    def reach(self, at: Instant) -> None:
        """Show that it has come to an instant."""
        if not self._is_on or time.monotonic() - self._shown_at < _EVERY_S:
            return
        self._shown_at = time.monotonic()
        share = min(1.0, max(0.0, (at - self._since) / max(1, self._until - self._since)))
        # What goes over the end of the line is not taken back by a carriage return, and would stay.
        columns = self._columns()
        width = max(1, min(_WIDTH, columns - _NAME_WIDTH - _AROUND))
        bar = "#" * round(share * width)
        line = f"{self._what:{_NAME_WIDTH}} [{bar:{width}}] {share:4.0%}"
        self._stream.write(f"\r\x1b[K{line[: columns - 1]}")
        self._stream.flush()

    def _columns(self) -> int:
        """Return the columns of this terminal, which need not be that of the output."""
        with suppress(OSError):
            return os.get_terminal_size(self._stream.fileno()).columns or _PLAIN_WIDTH
        return _PLAIN_WIDTH
