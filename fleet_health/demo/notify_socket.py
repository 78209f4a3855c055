"""Receive what the service sends to its service manager with sd_notify."""

from __future__ import annotations

import asyncio
import socket
from typing import Self

_LONGEST_MESSAGE = 64 * 1024


class NotifySocket:
    """Receives the messages of one service, in a running event loop.

    Attributes:
        address: The value of NOTIFY_SOCKET for the service.
        is_ready: Whether READY=1 has arrived.
        status: The value of the latest STATUS=; empty before the first.

    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        # With an empty name the kernel assigns a free abstract one, so no path can be too long or left behind.
        self._socket.bind(b"")
        self.address = "@" + self._socket.getsockname()[1:].decode()
        self.is_ready = False
        self.status = ""

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        try:
            message = self._socket.recv(_LONGEST_MESSAGE)
        except BlockingIOError:
            return
        for line in message.decode(errors="backslashreplace").splitlines():
            name, _, value = line.partition("=")
            if name == "STATUS":
                self.status = value
            elif name == "READY":
                self.is_ready = True
