"""Recognise a dying process, which was killed or has exited while one of its threads waits in the kernel.

A thread that waits for a dead disk cannot be stopped. Until it returns, the process keeps its open files and locks, but
does not use them any more.
"""

from __future__ import annotations

import signal
from pathlib import Path

_KILLED = 1 << (signal.SIGKILL - 1)


def is_dying(pid: int) -> bool:
    """Return whether a process is dying; False if it has ended or its state cannot be read."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return False
    return is_dying_by(dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line))


def is_dying_by(status: dict[str, str]) -> bool:
    """Return whether a process is dying, given its proc_pid_status(5).

    It is dying if its first thread has ended but others have not (`Z`, `X`), if SIGKILL is pending, or if it waits for
    its threads before it dumps core.
    """
    pending = int(status.get("SigPnd", "0"), 16) | int(status.get("ShdPnd", "0"), 16)
    return status.get("State", "")[:1] in {"Z", "X"} or bool(pending & _KILLED) or status.get("CoreDumping") == "1"
