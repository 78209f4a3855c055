"""Runs commands with a document on stdin, within limits of time and size, and leaves no process behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.errors import printable
from fleet_health.notify.destination import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT_LIMIT = 65_536
"""How many bytes of what a command prints are kept."""

_OURS = frozenset(("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
"""The variables that systemd sets for this process, which a command must not inherit."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended.

    Attributes:
        status: Its exit status; negative if a signal ended it.
        output: What it printed, on stdout and stderr.

    """

    status: int
    output: bytes

    @property
    def line(self) -> str:
        """The last line of its output, safe to show; empty if there is none."""
        lines = self.output.decode(errors="replace").split("\n")
        return next((line for line in (printable(one.strip()) for one in reversed(lines)) if line), "")


def run(command: Sequence[str], document: bytes, timeout_s: float) -> Finished:
    """Run a command in a process group of its own, and kill what is left of the group.

    Args:
        command: The program and its arguments.
        document: What it reads from stdin.
        timeout_s: How long it may take.

    Raises:
        DeliveryError: It cannot be started, or has not ended in time.

    """
    name = printable(command[0])
    out, its_out = os.pipe()
    try:
        process = _start(command, document, its_out)
    except OSError as error:
        os.close(out)
        raise DeliveryError(f"{name}: it cannot be started: {(error.strerror or str(error)).lower()}") from None
    finally:
        os.close(its_out)
    os.set_blocking(out, False)
    output = bytearray()
    try:
        is_over = _wait(process, out, output, time.monotonic() + timeout_s)
    finally:
        # Its leader has not been waited for, so the group's number is still its own.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        _read(out, output)
        os.close(out)
    if not is_over:
        raise DeliveryError(f"{name}: it did not end within {timeout_s:g} s, and was killed", is_response_lost=True)
    return Finished(status, bytes(output))


def _start(command: Sequence[str], document: bytes, its_out: int) -> subprocess.Popen[bytes]:
    with os.fdopen(os.memfd_create("document"), "w+b") as file:
        file.write(document)
        file.flush()
        file.seek(0)
        return subprocess.Popen(
            command,
            stdin=file,
            stdout=its_out,
            stderr=its_out,
            cwd="/",
            env={name: value for name, value in os.environ.items() if name not in _OURS},
            start_new_session=True,
        )


def _wait(process: subprocess.Popen[bytes], out: int, output: bytearray, ends: float) -> bool:
    """Read what a process prints until it has ended; return whether that was in time."""
    handle = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            selector.register(out, selectors.EVENT_READ)
            while (left := ends - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                if out in ready and not _read(out, output):
                    selector.unregister(out)
                if handle in ready:
                    return True
    finally:
        os.close(handle)
    return False


def _read(out: int, output: bytearray) -> bool:
    """Read the available output, and keep the beginning; return whether more may come."""
    with suppress(BlockingIOError):
        for _ in range(64):  # not without end: a command that keeps printing is killed when its time is over
            octets = os.read(out, OUTPUT_LIMIT)
            if not octets:
                return False
            output += octets[: OUTPUT_LIMIT - len(output)]
    return True
