"""A TCP port of this machine that leads to a Unix socket, for clients that know no Unix sockets."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_PIECE = 1 << 16


class TcpBridge(ThreadingTCPServer):
    """Carries each connection to the port over to the socket, while the context lasts.

    Attributes:
        url: The address of the port, as a URL.

    """

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Carrier)
        self.path = path
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()  # waits for the connections


class _Carrier(BaseRequestHandler):
    server: TcpBridge

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as service:
            service.connect(str(self.server.path))
            back = threading.Thread(target=_carry, args=(service, self.request))
            back.start()
            _carry(self.request, service)
            back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # either side may go at any time
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
