"""journald's socket, and its native protocol: an entry of fields is a datagram, and none is ever waited for.

`systemd.journal.send` writes to that socket with the interpreter lock held: while journald stands still, so does the
whole process, whichever thread called it (python-systemd#170). So we send entries ourselves, on a socket that does not
block.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"


class JournalSocket:
    """A connection to journald, which is made again if journald has restarted."""

    def __init__(self, path: str = SOCKET) -> None:
        self.path = path
        self._socket: socket.socket | None = None

    @property
    def fd(self) -> int | None:
        """A descriptor that becomes writable when journald takes more; None while there is no connection."""
        return None if self._socket is None else self._socket.fileno()

    def connect(self) -> None:
        """Connect, unless that is done; raise OSError if there is no journald."""
        if self._socket is not None:
            return
        # Connected, because only then can we wait until there is room: see `fd`.
        attempt = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            attempt.connect(self.path)
        except OSError:
            attempt.close()
            raise
        self._socket = attempt

    def send(self, entry: bytes) -> None:
        """Send an entry; connect first if that is to be done.

        Raises:
            BlockingIOError: journald is busy, or stands still.
            ConnectionError: It has gone. The connection is closed; perhaps another journald has come.
            OSError: It cannot take this entry.

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
    """Write fields in journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    parts = []
    for name, text in fields.items():
        octets = text.encode("utf-8", "backslashreplace")
        if b"\n" in octets:
            parts.append(name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n")
        else:
            parts.append(name.encode() + b"=" + octets + b"\n")
    return b"".join(parts)
