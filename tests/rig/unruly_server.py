"""A real HTTP server on this machine that answers as a test wants it to, or in no way that is right."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_ONE_BYTE_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in.

    Attributes:
        method: Its method.
        target: Its target: the path, or for a proxy the whole URL.
        headers: Its headers, by their names in small letters.
        body: Its body.

    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class UnrulyServer:
    """Answers each request as the next of its answers says, the last one again and again.

    Attributes:
        answers: What is done with a request, in order.
        tls: With which certificate it speaks TLS; None for plain HTTP.
        requests: What came in.

    """

    answers: list[Callable[[Connection], None]]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_closed = threading.Event()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything, also what hangs."""
        self._is_closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(PATIENCE_S)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Its URL, without a path."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while not self._is_closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self.tls is not None:
                client = self.tls.wrap_socket(client, server_side=True)
                self._open.append(client)
            stream = client.makefile("rb")
            while (request := _read(stream)) is not None:
                self.requests.append(request)
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                answer(Connection(client, self._is_closed))
        with suppress(OSError):
            client.close()


def _read(stream: object) -> Request | None:
    read_line, read = stream.readline, stream.read  # type: ignore[attr-defined]
    first = read_line().decode("latin-1").split()
    if len(first) < 3:
        return None
    headers: dict[str, str] = {}
    while line := read_line().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(first[0], first[1], headers, read(int(headers.get("content-length", 0))))


@dataclass(frozen=True, slots=True)
class Connection:
    """A client that has sent a request."""

    socket: socket.socket
    is_closed: threading.Event


def answering(
    status: str = "200 OK", body: bytes = b"", length: int | None = None, **headers: str
) -> Callable[[Connection], None]:
    """Answer with a status, headers (`Retry_After="3"`) and a body."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *lines]

    def answer(connection: Connection) -> None:
        connection.socket.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    return answer


def resetting(connection: Connection) -> None:
    """Reset the connection instead of answering."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.socket.detach())


def closing(connection: Connection) -> None:
    """Close the connection instead of answering."""
    connection.socket.shutdown(socket.SHUT_RDWR)


def hanging(connection: Connection) -> None:
    """Never answer."""
    connection.is_closed.wait(PATIENCE_S)


def raw(octets: bytes) -> Callable[[Connection], None]:
    """Answer with these bytes, and close."""

    def answer(connection: Connection) -> None:
        connection.socket.sendall(octets)
        closing(connection)

    return answer


def babbling(connection: Connection) -> None:
    """Answer with what is no HTTP."""
    connection.socket.sendall(b"220 smtp.example.org ESMTP\r\n\r\n")
    closing(connection)


def dripping(head: bytes, has_dripped: threading.Event | None = None) -> Callable[[Connection], None]:
    """Answer one byte at a time, without end: the given head first, then more of a header or a body."""

    def answer(connection: Connection) -> None:
        connection.socket.sendall(head)
        while not connection.is_closed.is_set():
            connection.socket.sendall(b"x")
            if has_dripped is not None:
                has_dripped.set()
            time.sleep(_ONE_BYTE_EVERY_S)

    return answer
