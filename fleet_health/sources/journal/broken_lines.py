"""Recognise lines of the output of a service that journald broke into several entries.

journald makes one entry of each line, but breaks a line longer than LineMax= (48 KiB) into entries of that length, with
a field `_LINE_BREAK`. A client that causes such a line controls where the entries begin and end, and so can forge their
content. No part of such a line can be trusted. The last part has no `_LINE_BREAK`, and is recognised as the next entry
of the same stream (`_STREAM_ID`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.parsing.long_line import LINE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

_BREAKS = frozenset({b"line-max", b"pid-change"})
# How many entries to wait for the rest of a line, which follows at once unless its writer is gone.
_WAIT_FOR_REST = 1_000


class BrokenLines:
    """Distinguishes parts of broken lines from whole lines, entry by entry.

    Args:
        field: Returns a field of the entry read last; empty if the entry lacks it.

    Attributes:
        streams: The streams in which the rest of a line is expected.
        may_be_whole: Whether the latest part may be a whole line instead.

    """

    def __init__(self, field: Callable[[str], bytes]) -> None:
        self._field = field
        self.streams: set[bytes] = set()
        self.may_be_whole = False
        self._waiting = 0

    def is_part(self, message: bytes) -> bool:
        """Return whether the entry read last, with this message, is a part of a broken line."""
        # The field is looked up only for long entries, because that costs a fifth of reading an entry. So LineMax= must
        # not be set below this limit.
        if len(message) <= LINE_LIMIT and not self.streams:
            return False
        stream = self._field("_STREAM_ID")
        if self._field("_LINE_BREAK") in _BREAKS:
            self.streams.add(stream)
            self._waiting = _WAIT_FOR_REST
            self.may_be_whole = False
            return True
        self.may_be_whole = is_rest = stream in self.streams
        self.streams.discard(stream)
        self._waiting -= 1
        if not self._waiting:
            self.streams.clear()
        return is_rest
