"""Who else a service deals with: systemd and journald, by their sockets, and whoever reads its own log."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

from fleet_health.daemon import composition
from fleet_health.records.journal_sink import JournalSink
from fleet_health.service import logging as logs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

_STDERR = 2


class Systemd:
    """The service manager's end of sd_notify, and journald's native socket: counts what arrives, and keeps nothing.

    They are emptied by the loop that fills them. A thread of their own might not get its turn while a full socket
    holds the sender up, and with it the interpreter lock.

    Attributes:
        notified: How often each name was assigned.
        status: The latest STATUS.
        alerts: How many alerts came to the journal.

    """

    def __init__(self, directory: Path, watchdog_s: int) -> None:
        self.notified: Counter[str] = Counter()
        self.status = ""
        self.alerts = 0
        self._paths = directory / "notify", directory / "journald"
        self._watchdog_s = watchdog_s

    @contextmanager
    def listening(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Listen, and have the service find us, for as long as a context lasts."""
        notify_path, journald_path = self._paths
        environment = {"NOTIFY_SOCKET": str(notify_path), "WATCHDOG_USEC": str(self._watchdog_s * 1_000_000)}
        with (
            _listening(loop, notify_path, self._on_notify),
            _listening(loop, journald_path, self._on_entry),
            mock.patch.dict(os.environ, environment),
            # This machine's journal is no place for thousands of invented alerts.
            mock.patch.object(composition, "JournalSink", partial(JournalSink, str(journald_path))),
        ):
            yield

    def _on_notify(self, message: bytes) -> None:
        for line in message.decode().splitlines():
            name, _, value = line.partition("=")
            self.notified[name] += 1
            if name == "STATUS":
                self.status = value

    def _on_entry(self, entry: bytes) -> None:
        self.alerts += b"\nFLEET_SUGGESTED_FIX=" in entry


@contextmanager
def _listening(loop: asyncio.AbstractEventLoop, path: Path, on_message: Callable[[bytes], None]) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as ours:
        ours.bind(str(path))
        loop.add_reader(ours, lambda: on_message(ours.recv(1 << 20)))
        yield
        loop.remove_reader(ours)


class ServiceLog:
    """Our stderr, and so the service's log, as a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Send stderr, and all of the service's log, to the file for as long as a context lasts."""
        terminal = os.dup(_STDERR)
        with self._path.open("ab") as file:
            os.dup2(file.fileno(), _STDERR)
        try:
            logs.configure("debug")
            yield
        finally:
            os.dup2(terminal, _STDERR)
            os.close(terminal)

    def take(self) -> Iterator[dict[str, Any]]:
        """Return every line since this was last asked; one that is no line of the log, such as a traceback's, too."""
        lines = self._path.read_text().splitlines()
        os.truncate(self._path, 0)
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                yield {"event": line, "level": "error"}
