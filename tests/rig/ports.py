"""Ports of this machine for servers that cannot be handed a socket, and for tests of what nobody listens on."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port on 127.0.0.1 for as long as a context lasts. Until a server listens on it, it refuses connections.

    A port that is chosen and let go can be given to another server before the first one listens on it: the first then
    fails to start, and the second gets its requests. So this socket stays bound, and the kernel assigns its port to
    nothing else. It does not listen and has SO_REUSEADDR, so a server that has SO_REUSEADDR too, as all of them do, can
    listen on the port by its number (`inet_csk_get_port` in net/ipv4/inet_connection_sock.c).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
