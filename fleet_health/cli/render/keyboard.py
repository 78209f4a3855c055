"""Wait for a key or a resize of the terminal, while a screen is refreshed."""

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
    """Read single keys from the terminal during the context, and restore the terminal afterwards in any case.

    Yield a function that waits for a number of seconds and returns the pressed key, or "" after that time or when the
    terminal is resized. Without a terminal, or in the background of a shell, it returns no key.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    before = _single_keys()
    signals = {
        signal.SIGWINCH: lambda *_: None,
        signal.SIGCONT: lambda *_: _single_keys(),  # the shell has changed the settings of the terminal
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
        return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") or "q"  # end of file: the terminal is gone

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
    """Make the terminal return each key at once, without echo. Return its settings; None if it must not be changed."""
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
