"""Stands in for journald where alerts are sent to: takes each datagram that comes to its socket."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.rig.journal_datagrams import fields_of_datagram

if TYPE_CHECKING:
    from pathlib import Path


class AlertJournal:
    """A socket as journald's, and the alerts that were sent to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self._alerted: list[tuple[str, str]] = []

    @property
    def in_order(self) -> list[tuple[str, str]]:
        """The host and symptom of each alert that has come so far, in the order in which they came."""
        with suppress(BlockingIOError):
            while True:
                fields = fields_of_datagram(self._socket.recv(1 << 20))
                if "FLEET_SYMPTOM" in fields:
                    self._alerted.append((fields["FLEET_HOST"], fields["FLEET_SYMPTOM"]))
        return list(self._alerted)

    @property
    def alerted(self) -> list[tuple[str, str]]:
        """The host and symptom of each alert that has come so far, sorted."""
        return sorted(self.in_order)

    @property
    def hosts(self) -> list[str]:
        """The host of each alert that has come so far, in the order in which they came."""
        return [host for host, _ in self.in_order]

    def close(self) -> None:
        """Take no more."""
        self._socket.close()
