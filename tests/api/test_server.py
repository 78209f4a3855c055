"""The control socket: who may use it, and what a bad client can do to the others."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.api import server as control
from fleet_health.api.connection import BODY_LIMIT, HEAD_LIMIT
from fleet_health.api.requests import Request, RequestError, Response
from fleet_health.api.server import CLIENT_LIMIT, ControlSocket
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from tests.conftest import AsyncEventually

LONG = b"x" * 8_000_000
"""More than the buffers between two processes hold."""


async def respond(request: Request) -> Response:
    """Respond to a few requests."""
    match request.path[0]:
        case "long":
            return Response(200, LONG)
        case "refuse":
            raise RequestError("not that", 403, {"X-Why": "because"})
        case "fail":
            raise ZeroDivisionError("division by zero")
        case "count":
            return Response(200, _numbers())
    echo = {"method": request.method, "path": request.path, "body": request.body.decode(), "uid": request.uid}
    return Response(200, json.dumps(echo).encode())


async def _numbers() -> AsyncGenerator[bytes]:
    for number in range(3):
        yield f"{number}\n".encode()


@asynccontextmanager
async def listening(path: Path, **times: float) -> AsyncIterator[ControlSocket]:
    """Listen while the context lasts."""
    control = ControlSocket(respond, **times)
    await control.open(path)
    try:
        yield control
    finally:
        await control.close()


async def ask(path: Path, *requests: bytes, chunk: int | None = None) -> list[tuple[int, bytes]]:
    """Send requests on one connection, and read until the service hangs up or has sent all responses."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 26)
    data = b"".join(requests)
    for begin in range(0, len(data), chunk or len(data) or 1):
        writer.write(data[begin : begin + (chunk or len(data))])
        await asyncio.sleep(0)
    http = h11.Connection(h11.CLIENT)
    answers = []
    for _ in requests or [b""]:
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        http.send(h11.EndOfMessage())
        status, body = 0, bytearray()
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(1 << 16))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.ConnectionClosed):
                break
        answers.append((status, bytes(body)))
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            break
        http.start_next_cycle()
    writer.close()
    return answers


def documents(answers: Sequence[tuple[int, bytes]]) -> list[Any]:
    """Return the documents of some responses."""
    return [json.loads(body) for _, body in answers]


def hang_up(writer: asyncio.StreamWriter) -> None:
    """Disconnect without reading."""
    writer.transport.abort()
    writer.close()


def request(path: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Make a request."""
    return f"{method} /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("chunk", [None, 1, 7])
async def test_each_request_gets_one_response(chunk: int | None, tmp_path: Path) -> None:
    """Several on one connection, in order, sent at once or byte by byte. Failures are responses as well."""
    path = tmp_path / "s"
    async with listening(path):
        answers = await ask(
            path,
            request("a"),
            request("refuse"),
            request("fail"),
            request("count"),
            request("b", "POST", b"{}"),
            chunk=chunk,
        )

    (first, refused, failed, (_, numbers), last) = answers
    assert documents([first, last]) == [
        {"method": method, "path": [name], "body": body, "uid": os.geteuid()}
        for method, name, body in (("GET", "a", ""), ("POST", "b", "{}"))
    ]
    assert (refused[0], json.loads(refused[1])) == (
        403,
        {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "not that"},
    )
    assert (failed[0], "division by zero" in json.loads(failed[1])["detail"]) == (500, True)
    assert numbers == b"0\n1\n2\n"


async def test_a_response_is_dated(tmp_path: Path) -> None:
    """By the clock, in the format of RFC 9110."""
    path = tmp_path / "control.sock"
    began_at = datetime.now(UTC).replace(microsecond=0)
    async with listening(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request("/"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        hang_up(writer)

    (date,) = [line.partition(": ")[2] for line in head if line.startswith("Date: ")]
    dated_at = parsedate_to_datetime(date)
    assert date == format_datetime(dated_at, usegmt=True)
    assert began_at <= dated_at <= datetime.now(UTC)


async def test_curl_works(tmp_path: Path) -> None:
    """As in the documentation. A client of HTTP/1.0 gets a response that ends with the connection."""
    path = tmp_path / "s"
    outputs = []
    async with listening(path):
        for arguments in (["--http1.0"], ["--http1.1"], ["--http1.1", "--head"], ["-d", "x" * 2_000]):
            curl = await asyncio.create_subprocess_exec(
                *("curl", "-sS", "--unix-socket", str(path), *arguments, "http://localhost/count"),
                stdout=subprocess.PIPE,
            )
            outputs.append((await asyncio.wait_for(curl.communicate(), PATIENCE_S))[0])

    assert [outputs[0], outputs[1], outputs[3]] == [b"0\n1\n2\n"] * 3
    assert outputs[2].startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b'{"command": "status"}\n\n', 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET / HTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"x" * HEAD_LIMIT * 3 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * HEAD_LIMIT + b"\r\n", 431),
        (request("a", "POST", b"x" * (BODY_LIMIT + 1)), 413),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + b"x" * 0x8000, 413),
        (request("%FF"), 400),
    ],
)
async def test_an_invalid_request_is_refused(sent: bytes, status: int, tmp_path: Path) -> None:
    """The response is a problem document that says what was expected. The next client is served."""
    path = tmp_path / "s"
    async with listening(path):
        ((refused, problem),) = await ask(path, sent)
        ((answered, _),) = await ask(path, request("a"))

    assert refused == json.loads(problem)["status"] == status
    assert json.loads(problem)["title"] == HTTPStatus(status).phrase
    assert "expected" in json.loads(problem)["detail"]
    assert answered == 200


async def test_the_longest_request_gets_a_response(tmp_path: Path) -> None:
    """Its head and body are as long as allowed."""
    path = tmp_path / "s"
    async with listening(path):
        answers = await ask(path, request("x" * (HEAD_LIMIT - 100)), request("a", "POST", b"x" * BODY_LIMIT))

    assert [status for status, _ in answers] == [200, 200]


@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"GET /a HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n"])))
def test_no_input_affects_the_next_client(pieces: list[bytes]) -> None:
    """Whatever a client sends, and in whatever pieces."""

    async def send_it() -> None:
        here, there = socket.socketpair()
        listener = ControlSocket(respond, idle_time=0.5, send_time=0.5)
        server = await asyncio.open_unix_connection(sock=there)
        serving = asyncio.create_task(listener._serve(*server))
        here.setblocking(False)  # noqa: FBT003 - it takes no other form
        for piece in pieces:
            try:
                await asyncio.get_running_loop().sock_sendall(here, piece)
            except OSError:
                break
        here.close()
        await asyncio.wait_for(serving, PATIENCE_S)
        assert (listener._clients, listener._idle) == (set(), {})

    asyncio.run(send_it())


async def test_owner_and_group_may_use_the_socket(tmp_path: Path) -> None:
    """Others may not. It is removed at the end."""
    path = tmp_path / "s"
    async with listening(path):
        mode = os.stat(path).st_mode  # noqa: PTH116 - a look at a directory of the test's own
        others = os.listdir(tmp_path)  # noqa: PTH208

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    assert others == ["s"]
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_the_socket_of_a_killed_service_is_replaced(tmp_path: Path) -> None:
    """But a file that is not a socket stays."""
    path, file = tmp_path / "s", tmp_path / "file"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    file.write_text("mine")
    async with listening(path):
        ((status, _),) = await ask(path, request("a"))
    async with listening(file) as control:
        problem = control.problem

    assert status == 200
    assert problem == f"{file}: expected a socket, found something else; move it away"
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["no/such/directory", "x" * 120])
async def test_an_unusable_path_is_reported(name: str, tmp_path: Path) -> None:
    """The service goes on without a control socket."""
    async with listening(tmp_path / name) as control:
        assert str(tmp_path / name) in control.problem


async def test_the_socket_follows_the_configuration(tmp_path: Path) -> None:
    """It stays if its path does not change. A socket that was removed comes back with the next reload."""
    first, second = tmp_path / "1", tmp_path / "2"
    async with listening(first) as control:
        inode = first.stat().st_ino
        await control.open(first)
        stayed = first.stat().st_ino == inode
        await control.open(second)
        moved = await ask(second, request("a"))
        second.unlink()
        await control.open(second)
        back = await ask(second, request("a"))

    assert stayed
    assert not first.exists()
    assert [status for status, _ in moved + back] == [200, 200]


async def test_the_socket_of_another_service_stays(tmp_path: Path) -> None:
    """It was put in place of ours, so it is not removed."""
    path = tmp_path / "s"
    async with listening(path):
        other = ControlSocket(respond)
        await other.open(path)
    ((status, _),) = await ask(path, request("a"))
    await other.close()

    assert status == 200


async def test_a_client_that_is_being_served_at_the_end_gets_its_response(tmp_path: Path) -> None:
    """Idle clients are disconnected."""
    path = tmp_path / "s"
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def respond_late(_request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return Response(200, b"late")

    listener = ControlSocket(respond_late)
    await listener.open(path)
    idle, writer = await asyncio.open_unix_connection(path)
    asking = asyncio.create_task(ask(path, request("a")))
    await begun.wait()
    closing = asyncio.create_task(listener.close())
    left = await idle.read()
    go_on.set()
    answers = await asking
    await closing
    writer.close()

    assert answers == [(200, b"late")]
    assert left == b""


async def test_a_slow_client_does_not_affect_others(tmp_path: Path) -> None:
    """Whether it sends nothing, reads nothing, or sends byte by byte: it is disconnected in the end."""
    path = tmp_path / "s"
    async with listening(path, idle_time=3.0, send_time=1.0):
        mute, writer = await asyncio.open_unix_connection(path)
        slow, slow_writer = await asyncio.open_unix_connection(path)
        slow_writer.write(request("a")[:-1])
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(path))
        deaf.sendall(request("long"))
        answers = await ask(path, request("a"), request("long"))
        left = await mute.read() + await slow.read()
        writer.close()
        slow_writer.close()
        deaf.settimeout(None)
        taken = 0
        while chunk := await asyncio.to_thread(deaf.recv, 1 << 20):
            taken += len(chunk)
        deaf.close()

    assert answers[0][0] == 200
    assert answers[1] == (200, LONG)
    assert left == b""
    assert taken < len(LONG)


async def test_the_number_of_clients_is_limited(tmp_path: Path, async_eventually: AsyncEventually) -> None:
    """The client that has been idle the longest makes room."""
    path = tmp_path / "s"
    async with listening(path) as control:
        crowd = [await asyncio.open_unix_connection(path) for _ in range(CLIENT_LIMIT)]
        await async_eventually(lambda: len(control._clients) == CLIENT_LIMIT)
        ((answered, _),) = await ask(path, request("a"))
        dismissed = await crowd[0][0].read()
        second_reader, second_writer = crowd[1]
        second_writer.write(request("b"))
        still_served = await second_reader.readline()
        for _, writer in crowd:
            writer.close()

    assert answered == 200
    assert dismissed == b""
    assert still_served.startswith(b"HTTP/1.1 200 ")


async def test_a_further_client_is_refused_if_all_are_being_served(
    tmp_path: Path, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one leaves, there is room again."""
    monkeypatch.setattr(control, "CLIENT_LIMIT", 2)
    path = tmp_path / "s"
    async with listening(path) as listener:
        crowd = [await asyncio.open_unix_connection(path) for _ in range(2)]
        for _, writer in crowd:
            writer.write(request("long"))
        await async_eventually(lambda: len(listener._clients) == 2 and not listener._idle)
        ((refused, problem),) = await ask(path)
        hang_up(crowd.pop()[1])
        await async_eventually(lambda: len(listener._clients) < 2)
        ((answered, _),) = await ask(path, request("a"))
        hang_up(crowd.pop()[1])

    assert (refused, "connected already" in json.loads(problem)["detail"]) == (503, True)
    assert answered == 200
