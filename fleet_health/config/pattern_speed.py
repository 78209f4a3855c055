"""A pattern that takes too long on some line is refused before a stranger finds that line."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from types import FrameType

# The service looks at 2 KiB of a line. What backtracks, does so on repetition; which one depends on the pattern.
_LENGTH = 2_048
_BEGINNINGS = ("", "host=", "PUT /v1/episodes/", '10.0.0.1:5000 - "PUT /')
_REPEATED = ("a", "0", " ", "/", "a/", '"', "=", ",", "host=", "a ", "é")

_LIMIT = 0.2
_GIVE_UP = 0.5


class _TooSlow(Exception):  # noqa: N818 - how a search is broken off
    """The search takes too long."""


def slowness(pattern: re.Pattern[str]) -> float | None:
    """Time a pattern on nasty lines: the seconds it takes on the first that is unbearable, or None if none is."""
    for start in _BEGINNINGS:
        for piece in _REPEATED:
            line = (start + piece * _LENGTH)[: _LENGTH - 1] + "!"
            # Twice, for the machine may have been busy with something else the first time.
            if _time(pattern, line) > _LIMIT and (seconds := _time(pattern, line)) > _LIMIT:
                return seconds
    return None


def _time(pattern: re.Pattern[str], line: str) -> float:
    # `re` heeds signals while it searches, and only the main thread gets them.
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, _break_off) if is_main else None
    if is_main:
        signal.setitimer(signal.ITIMER_REAL, _GIVE_UP)
    started = time.perf_counter()
    try:
        pattern.search(line)
    except _TooSlow:
        pass
    finally:
        if is_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    return time.perf_counter() - started


def _break_off(_number: int, _frame: FrameType | None) -> None:
    raise _TooSlow
