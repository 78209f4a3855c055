"""A socket in the place of systemd's or journald's, which keeps what arrives, and notes when."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Datagram:
    """A message that arrived.

    Attributes:
        at_us: When, in microseconds of the wall clock.
        lines: Its lines.

    """

    at_us: int
    lines: list[bytes]


@contextmanager
def listening(path: Path) -> Iterator[list[Datagram]]:
    """Take datagrams at a path for as long as the context lasts; return the list of those that have arrived."""
    arrived: list[Datagram] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as taker:
        taker.bind(str(path))

        def take() -> None:
            while message := taker.recv(1 << 16):
                arrived.append(Datagram(time.time_ns() // 1000, message.splitlines()))

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield arrived
        finally:
            taker.shutdown(socket.SHUT_RD)
            thread.join()
            path.unlink()
