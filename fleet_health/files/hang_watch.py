"""End commands that read a hanging disk or network mount: the parent process notices the hang, reports it and exits.

A process that waits for a dead disk cannot end, not even by SIGKILL. So a command that reads files works in a child,
and the parent touches none of the files. The child, and each process that it forks, records in shared memory the path
that it waits for and since when. After the timeout, the parent reports the path, kills the child and exits, even if the
child cannot end yet.

If the output is a pipe, the parent relays the output of the child, because the reader of a pipe waits until all writers
have closed it, which a hanging child cannot do.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import stat
import struct
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 30.0
"""How long to wait for a path, in seconds. Searching a journal takes long, and only the user waits."""

EXIT_HANGS = 2
"""The exit status of a command that gave up, the same as for a source that cannot be read."""

# Each process has a slot for its pid, with the begin of its wait (monotonic clock, or 0) and the path.
_SLOTS, _SLOT, _PATH = 64, 512, 500
_SINCE, _LENGTH = struct.Struct("d"), struct.Struct("H")
_LOOK_EVERY_S = 0.25

_board: mmap.mmap | None = None


@contextmanager
def touching(path: Path | None) -> Iterator[None]:
    """Record that this process waits for a path while the context lasts. Do nothing without a path or a watcher."""
    if _board is None or path is None:
        yield
        return
    slot = os.getpid() % _SLOTS * _SLOT
    before = _board[slot : slot + _SLOT]
    text = os.fsencode(path)[:_PATH]
    _LENGTH.pack_into(_board, slot + _SINCE.size, len(text))
    begin = slot + _SINCE.size + _LENGTH.size
    _board[begin : begin + len(text)] = text
    _SINCE.pack_into(_board, slot, time.monotonic())
    try:
        yield
    finally:
        _board[slot : slot + _SLOT] = before
        _show_progress(slot)


def note_progress() -> None:
    """Record that the path responded, in code that touches it many times in one context."""
    if _board is not None:
        _show_progress(os.getpid() % _SLOTS * _SLOT)


def _show_progress(slot: int) -> None:
    if _board is not None and _SINCE.unpack_from(_board, slot)[0]:
        _SINCE.pack_into(_board, slot, time.monotonic())


def work_in_a_child(*, limit_s: float = PATIENCE_S) -> int | None:
    """Fork. Return None in the child, which does the work, and the exit status of the child in the parent.

    Args:
        limit_s: How long to wait for a response, in seconds, before giving up on the child.

    """
    global _board  # noqa: PLW0603 - the processes that are forked find it here
    _board = mmap.mmap(-1, _SLOTS * _SLOT)
    sys.stdout.flush()
    sys.stderr.flush()
    piped = [fd for fd in (1, 2) if _is_pipe(fd)]
    pipes = {fd: os.pipe() for fd in piped}
    pid = os.fork()
    if pid == 0:
        for fd, (reading, writing) in pipes.items():
            os.close(reading)
            os.dup2(writing, fd)
            os.close(writing)
        return None
    for _, writing in pipes.values():
        os.close(writing)
    board, _board = _board, None
    # Pass signals on to the child. A terminal interrupts both processes by itself.
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(pid, number))
    signal.signal(signal.SIGINT, signal.SIG_IGN if os.isatty(0) else lambda number, _: os.kill(pid, number))
    return _watch(pid, {reading: fd for fd, (reading, _) in pipes.items()}, board, limit_s)


def _watch(pid: int, relayed: dict[int, int], board: mmap.mmap, limit_s: float) -> int:
    """Wait for a child and relay its output. Return its exit status, or `EXIT_HANGS` after giving up on it."""
    ended = os.pidfd_open(pid)
    while True:
        ready, _, _ = select.select([ended, *relayed], [], [], _LOOK_EVERY_S)
        for reading in [one for one in relayed if one in ready]:
            if not _relay(reading, relayed[reading]):
                del relayed[reading]
        if ended in ready and not [one for one in ready if one in relayed]:
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                _end_by(os.WTERMSIG(status))
            return os.waitstatus_to_exitcode(status)
        if path := _hanging(board, limit_s):
            os.kill(pid, signal.SIGKILL)
            print(  # noqa: T201
                f"{path}: no response for {limit_s:g} s; check whether its disk or network mount hangs", file=sys.stderr
            )
            return EXIT_HANGS


def _relay(reading: int, fd: int) -> bool:
    """Relay the output that can be read now. Return whether more may follow."""
    if data := os.read(reading, 1 << 16):
        try:
            while data:
                data = data[os.write(fd, data) :]
        except BrokenPipeError:  # the child gets the same error if it writes again
            data = b""
        else:
            return True
    os.close(reading)
    return False


def _hanging(board: mmap.mmap, limit_s: float) -> str:
    """Return a path that has not responded for `limit_s`; empty if there is none."""
    for slot in range(0, _SLOTS * _SLOT, _SLOT):
        (since,) = _SINCE.unpack_from(board, slot)
        if since and time.monotonic() - since > limit_s:
            (length,) = _LENGTH.unpack_from(board, slot + _SINCE.size)
            begin = slot + _SINCE.size + _LENGTH.size
            return os.fsdecode(board[begin : begin + length])
    return ""


def _end_by(number: int) -> NoReturn:
    """End by the same signal as the child."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _is_pipe(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
