"""The rig that reserves ports."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.rig.ports import reserved_port

_IP_LOCAL_PORT_RANGE = 51  # <linux/in.h>, since Linux 6.3


def limited_to(port: int) -> socket.socket:
    """Make a socket that the kernel can assign one port only."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, struct.pack("HH", port, port))
    except OSError:
        one.close()
        pytest.skip("before Linux 6.3, no socket can be limited to a port")
    return one


def test_a_reserved_port_is_assigned_to_nobody_else() -> None:
    """Neither to a server that takes any port nor to a client; one that names it can listen, once and again."""
    with reserved_port() as port, limited_to(port) as another:
        with pytest.raises(OSError, match="Address already in use"):
            another.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="Cannot assign requested address"):
            another.connect(("127.0.0.1", port))
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="Address already in use"):
                socket.create_server(("127.0.0.1", port))


def test_nobody_answers_on_a_reserved_port_before_its_server_does() -> None:
    """A connection is refused until then."""
    with reserved_port() as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port)).close()
