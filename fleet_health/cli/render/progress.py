"""Show the progress of a command on one line of a terminal. Without a terminal, show nothing."""

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
    """A progress bar for a span of time."""

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
        """Start a bar from one instant to another."""
        self._what, self._since, self._until, self._shown_at = what, since, until, -math.inf
        self.reach(since)

    def reach(self, at: Instant) -> None:
        """Show that an instant has been reached."""
        if not self._is_on or time.monotonic() - self._shown_at < _EVERY_S:
            return
        self._shown_at = time.monotonic()
        share = min(1.0, max(0.0, (at - self._since) / max(1, self._until - self._since)))
        # A carriage return does not erase text that has wrapped to the next line.
        columns = self._columns()
        width = max(1, min(_WIDTH, columns - _NAME_WIDTH - _AROUND))
        bar = "#" * round(share * width)
        line = f"{self._what:{_NAME_WIDTH}} [{bar:{width}}] {share:4.0%}"
        self._stream.write(f"\r\x1b[K{line[: columns - 1]}")
        self._stream.flush()

    def _columns(self) -> int:
        """Return the columns of the terminal of `stream`, which may differ from that of stdout."""
        with suppress(OSError):
            return os.get_terminal_size(self._stream.fileno()).columns or _PLAIN_WIDTH
        return _PLAIN_WIDTH
