"""Send entries to journald by its native protocol, one datagram each, without blocking.

`systemd.journal.send` writes to journald's socket while it holds the interpreter lock. So a stopped journald stops the
whole process, whichever thread called it (python-systemd#170). This module uses a non-blocking socket instead.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"


class JournalSocket:
    """A connection to journald that is renewed after a restart of journald."""

    def __init__(self, path: str = SOCKET) -> None:
        self.path = path
        self._socket: socket.socket | None = None

    @property
    def fd(self) -> int | None:
        """A descriptor that becomes writable when journald accepts entries; None without a connection."""
        return None if self._socket is None else self._socket.fileno()

    def connect(self) -> None:
        """Connect if there is no connection. Raise OSError if journald does not run."""
        if self._socket is not None:
            return
        # The socket is connected, because only then does `fd` show when there is room.
        attempt = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            attempt.connect(self.path)
        except OSError:
            attempt.close()
            raise
        self._socket = attempt

    def send(self, entry: bytes) -> None:
        """Send an entry. Connect first if there is no connection.

        Raises:
            BlockingIOError: journald is busy or stopped.
            ConnectionError: journald has exited. The connection is closed, and the next call connects again.
            OSError: journald cannot accept this entry.

        """
        self.connect()
        if self._socket is None:
            raise ConnectionError
        try:
            self._socket.send(entry)
        except ConnectionError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def datagram(fields: Mapping[str, str]) -> bytes:
    """Encode fields in journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    parts = []
    for name, text in fields.items():
        octets = text.encode("utf-8", "backslashreplace")
        if b"\n" in octets:
            parts.append(name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n")
        else:
            parts.append(name.encode() + b"=" + octets + b"\n")
    return b"".join(parts)
