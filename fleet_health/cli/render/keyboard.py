"""A key pressed, or a terminal resized, while a screen is shown again and again."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def listening() -> Iterator[Callable[[float], str]]:
    """Take single keys from the terminal, and restore it at the end, however that comes.

    What is yielded waits for so many seconds, and returns the key that was pressed, or "" after that time or when the
    terminal has got another size. Without a terminal in front of us, or in the background of a shell, no key comes.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    before = _single_keys()
    signals = {
        signal.SIGWINCH: lambda *_: None,
        signal.SIGCONT: lambda *_: _single_keys(),  # the shell has set the terminal as it likes it
        signal.SIGTERM: _leave,
        signal.SIGHUP: _leave,
    }
    handlers = {number: signal.signal(number, handler) for number, handler in signals.items()}
    old_wake = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def wait(seconds: float) -> str:
        sources = [woken, *([] if before is None else [sys.stdin.fileno()])]
        ready, _, _ = select.select(sources, [], [], seconds)
        if woken in ready:
            with suppress(BlockingIOError):
                os.read(woken, 512)
        if before is None or sys.stdin.fileno() not in ready:
            return ""
        return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") or "q"  # its end: the terminal is gone

    try:
        yield wait
    finally:
        signal.set_wakeup_fd(old_wake)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if before is not None:
            with suppress(termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
        os.close(woken)
        os.close(wake)


def _single_keys() -> list[Any] | None:
    """Have the terminal give each key at once and not show it; return how it was, None if it is not ours to set."""
    try:
        fd = sys.stdin.fileno()
        if os.tcgetpgrp(fd) != os.getpgrp():
            return None
        before = termios.tcgetattr(fd)
        tty.setcbreak(fd, termios.TCSADRAIN)
    except (OSError, ValueError, termios.error):
        return None
    return before


def _leave(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)
