"""The operator's socket: who may use it, and what a bad client can do to the others."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.api import server as control
from fleet_health.api.server import CLIENT_LIMIT, REQUEST_LIMIT, ControlSocket, RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.conftest import AsyncEventually

LONG = "x" * 8_000_000
"""More than the buffers between two processes hold."""


async def answer(request: Mapping[str, Any], uid: int) -> Mapping[str, Any]:
    """Answer a few requests."""
    match request.get("command"):
        case "long":
            return {"long": LONG}
        case "refuse":
            raise RequestError("not that")
        case "fail":
            raise ZeroDivisionError("division by zero")
        case "who":
            return {"uid": uid}
    return {"echo": dict(request)}


@asynccontextmanager
async def listening(path: Path, **times: float) -> AsyncIterator[ControlSocket]:
    """Listen for as long as the context lasts."""
    control = ControlSocket(answer, **times)
    await control.open(path)
    try:
        yield control
    finally:
        await control.close()


async def ask(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Send lines, and read all that is answered until the service hangs up or has answered each."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 26)
    writer.write(b"".join(lines))
    answers = []
    for _ in lines:
        if not (line := await reader.readline()):
            break
        answers.append(json.loads(line))
    writer.close()
    return answers


def hang_up(writer: asyncio.StreamWriter) -> None:
    """Go without having taken what there is."""
    writer.transport.abort()
    writer.close()


def request(command: str) -> bytes:
    """Make a request."""
    return json.dumps({"command": command}).encode() + b"\n"


async def test_each_line_is_answered_by_one(tmp_path: Path) -> None:
    """Several on one connection, in order; a failure is an answer as well."""
    path = tmp_path / "s"
    async with listening(path):
        answers = await ask(path, request("a"), request("refuse"), request("fail"), request("b"))

    assert [one.get("echo") for one in answers] == [{"command": "a"}, None, None, {"command": "b"}]
    assert answers[1]["error"] == "not that"
    assert "division by zero" in answers[2]["error"]


async def test_it_is_known_who_asks(tmp_path: Path) -> None:
    """By the kernel's word."""
    async with listening(tmp_path / "s"):
        assert await ask(tmp_path / "s", request("who")) == [{"uid": os.geteuid()}]


@pytest.mark.parametrize("line", [b"\n", b"{\n", b"[]\n", b"5\n", b"\xff\n", b"[" * 4_000 + b"\n", b'{"a":NaN}\n'])
async def test_what_is_no_request_is_refused(line: bytes, tmp_path: Path) -> None:
    """With a word on what was expected; the next one is answered."""
    path = tmp_path / "s"
    async with listening(path):
        answers = await ask(path, line, request("a"))

    assert "expected a JSON object on a line" in answers[0]["error"]
    assert answers[1] == {"echo": {"command": "a"}}


async def test_a_request_is_bounded(tmp_path: Path) -> None:
    """One that is longer is refused, though nothing of it is kept."""
    path = tmp_path / "s"
    async with listening(path):
        (refused,) = await ask(path, b'"' + b"x" * (REQUEST_LIMIT * 4) + b'"\n')
        (answered,) = await ask(path, request("x" * (REQUEST_LIMIT - 20)))

    assert f"up to {REQUEST_LIMIT} bytes" in refused["error"]
    assert "echo" in answered


async def test_owner_and_group_may_use_it(tmp_path: Path) -> None:
    """Nobody else; and it is gone afterwards."""
    path = tmp_path / "s"
    async with listening(path):
        mode = os.stat(path).st_mode  # noqa: PTH116 - a look at a directory of the test's own
        others = os.listdir(tmp_path)  # noqa: PTH208

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    assert others == ["s"]
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_what_a_killed_service_left_is_replaced(tmp_path: Path) -> None:
    """A socket on which nobody listens; but not a file that somebody needs."""
    path, file = tmp_path / "s", tmp_path / "file"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    file.write_text("mine")
    async with listening(path):
        (answered,) = await ask(path, request("a"))
    async with listening(file) as control:
        problem = control.problem

    assert "echo" in answered
    assert problem == f"{file}: expected a socket, found something else; move it away"
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["no/such/directory", "x" * 120])
async def test_a_path_that_cannot_be_is_said(name: str, tmp_path: Path) -> None:
    """The service goes on without."""
    async with listening(tmp_path / name) as control:
        assert str(tmp_path / name) in control.problem


async def test_it_moves_when_it_is_told_to(tmp_path: Path) -> None:
    """And stays where it is if not; a socket that was removed comes back with the next reload."""
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
    assert moved == back == [{"echo": {"command": "a"}}]


async def test_the_socket_of_another_service_stays(tmp_path: Path) -> None:
    """It was put in our place, so it is not ours to remove."""
    path = tmp_path / "s"
    async with listening(path):
        other = ControlSocket(answer)
        await other.open(path)
    answers = await ask(path, request("a"))
    await other.close()

    assert answers == [{"echo": {"command": "a"}}]


async def test_one_that_stands_still_disturbs_nobody(tmp_path: Path) -> None:
    """Neither who never asks, nor who never takes the answer; both are left in the end."""
    path = tmp_path / "s"
    async with listening(path, idle_time=3.0, send_time=0.3):
        mute, writer = await asyncio.open_unix_connection(path)
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(path))
        deaf.sendall(request("long"))
        answers = await ask(path, request("a"), request("long"))
        left = await mute.read()
        writer.close()
        deaf.settimeout(None)
        taken = 0
        while chunk := await asyncio.to_thread(deaf.recv, 1 << 20):
            taken += len(chunk)
        deaf.close()

    assert answers[0] == {"echo": {"command": "a"}}
    assert answers[1]["long"] == LONG
    assert left == b""
    assert taken < len(LONG)


async def test_there_are_no_more_clients_than_the_limit(tmp_path: Path, async_eventually: AsyncEventually) -> None:
    """Who asks for nothing makes room, the one who has for the longest."""
    path = tmp_path / "s"
    async with listening(path) as control:
        crowd = [await asyncio.open_unix_connection(path) for _ in range(CLIENT_LIMIT)]
        await async_eventually(lambda: len(control._clients) == CLIENT_LIMIT)
        (answered,) = await ask(path, request("a"))
        dismissed = await crowd[0][0].read()
        second_reader, second_writer = crowd[1]
        second_writer.write(request("b"))
        still_served = await second_reader.readline()
        for _, writer in crowd:
            writer.close()

    assert answered == {"echo": {"command": "a"}}
    assert dismissed == b""
    assert json.loads(still_served) == {"echo": {"command": "b"}}


async def test_where_all_are_being_served_one_more_is_told_so(
    tmp_path: Path, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one goes there is room again."""
    monkeypatch.setattr(control, "CLIENT_LIMIT", 2)
    path = tmp_path / "s"
    async with listening(path) as listener:
        crowd = [await asyncio.open_unix_connection(path) for _ in range(2)]
        for _, writer in crowd:
            writer.write(request("long"))
        await async_eventually(lambda: len(listener._clients) == 2 and not listener._idle)
        (refused,) = await ask(path, b"")
        hang_up(crowd.pop()[1])
        await async_eventually(lambda: len(listener._clients) < 2)
        (answered,) = await ask(path, request("a"))
        hang_up(crowd.pop()[1])

    assert "others already" in refused["error"]
    assert "echo" in answered
