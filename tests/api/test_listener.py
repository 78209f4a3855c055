"""The read-only listener: it changes nothing, and whoever asks for too much waits."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.api import listener as module
from fleet_health.api.listener import CLIENT_LIMIT, Listener
from fleet_health.api.requests import Request, Response
from tests.rig.api_client import ApiClient
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.conftest import AsyncEventually, Eventually, Site


# As systemd does: sd_listen_fds(3).
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def bound() -> socket.socket:
    """Return a listening socket, as systemd would pass it."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)  # noqa: FBT003 - it takes no other form
    return listening


@asynccontextmanager
async def serving(respond: Callable[[Request], Any]) -> AsyncIterator[tuple[Listener, int]]:
    """Listen while the context lasts; yield the port as well."""
    listening = bound()
    listener = Listener(respond)
    listener.open([listening])
    try:
        yield listener, listening.getsockname()[1]
    finally:
        await listener.close()


def ask(port: int, method: str, target: str, **headers: str) -> tuple[int, bytes]:
    """Send a request with another HTTP library."""
    client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    client.request(method, target, headers=headers)
    response = client.getresponse()
    body = response.read()
    client.close()
    return response.status, body


async def test_only_reads_are_accepted() -> None:
    """GET and HEAD are passed on, without a user; other methods are refused."""
    passed = []

    async def respond(request: Request) -> Response:
        passed.append((request.method, request.uid))
        return Response(200, b"{}")

    async with serving(respond) as (_, port):
        answers = {
            method: (await asyncio.to_thread(ask, port, method, "/v1/silences"))[0]
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
        }
        head = await asyncio.to_thread(ask, port, "HEAD", "/healthz")

    assert answers == {"GET": 200} | dict.fromkeys(("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"), 405)
    assert head == (200, b"")
    assert passed == [("GET", None), ("HEAD", None)]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9490", 200),
        ("[::1]:9490", 200),
        ("localhost:9490", 200),
        ("LocalHost.", 200),
        ("evil.example", 421),
        ("evil.example:9490", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("", 200),
    ],
)
@pytest.mark.fault("S18", rig="service", says="a page of another origin gets nothing by a name that leads here")
async def test_S18_a_foreign_host_header_is_refused(host: str, status: int) -> None:
    """A web site that points its name at this address cannot read anything (DNS rebinding)."""

    async def respond(_request: Request) -> Response:
        return Response(200, b"{}")

    async with serving(respond) as (_, port):
        answer = await asyncio.to_thread(ask, port, "GET", "/v1/status", Host=host)

    assert answer[0] == status


async def test_a_document_is_made_once_for_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same time or soon after. Another document is made after a rest."""
    monkeypatch.setattr(module, "FRESH_S", PATIENCE_S)
    made: list[str] = []
    begun, going = asyncio.Event(), asyncio.Event()

    async def respond(request: Request) -> Response:
        made.append(request.target)
        begun.set()
        await going.wait()
        return Response(200, request.target.encode())

    async with serving(respond) as (_, port):
        asking = [asyncio.create_task(asyncio.to_thread(ask, port, "GET", "/v1/status")) for _ in range(8)]
        other = asyncio.create_task(asyncio.to_thread(ask, port, "GET", "/v1/status?limit=1"))
        await begun.wait()
        going.set()
        answers = [await one for one in asking]
        another = await other

    assert answers == [(200, b"/v1/status")] * 8
    assert another == (200, b"/v1/status?limit=1")
    assert sorted(made) == ["/v1/status", "/v1/status?limit=1"]


@pytest.mark.fault("S18", rig="service", says="who stalls makes room for others")
async def test_S18_idle_clients_make_room(async_eventually: AsyncEventually, caplog: pytest.LogCaptureFixture) -> None:
    """Many clients send incomplete requests slowly. A complete one gets its response, and nothing is logged."""

    async def respond(_request: Request) -> Response:
        return Response(200, b"{}")

    async with serving(respond) as (listener, port):
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(2 * CLIENT_LIMIT)]
        for one in crowd:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        await async_eventually(lambda: len(listener._clients) == CLIENT_LIMIT)
        asking = asyncio.create_task(asyncio.to_thread(ask, port, "GET", "/healthz"))
        while not asking.done():
            for one in crowd:
                with suppress(OSError):
                    one.sendall(b"x")
            await asyncio.sleep(0)
        status, _ = await asking
        most = len(listener._clients)
        for one in crowd:
            one.close()

    assert status == 200
    assert most <= CLIENT_LIMIT + 1
    assert caplog.records == []


@contextmanager
def activated(site: Site, listening: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service with a socket that is passed to it as by systemd."""
    fd = str(listening.fileno())
    command = (
        sys.executable,
        "-c",
        _ACTIVATE,
        fd,
        sys.executable,
        "-m",
        "fleet_health",
        "run",
        "--config",
        site.config,
    )
    with (
        (site.directory / "service.log").open("wb") as log,
        subprocess.Popen(command, pass_fds=(int(fd),), stderr=log, stdout=log) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.fault("S18", rig="service", says="a flood delays no evaluation")
def test_S18_a_flood_slows_no_tick(site: Site, eventually: Eventually) -> None:
    """While the socket is flooded, the service evaluates on time, and its control socket responds."""
    site.configure()
    site.upload("well", "quiet", minutes_ago=50)
    site.upload("well")
    site.sync_journal()
    flood = (
        "import socket, sys, itertools\n"
        "crowd = []\n"
        "for n in itertools.count():\n"
        "    try:\n"
        "        one = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1)\n"
        "        path = (b'/v1/status?limit=%d' % n, b'/?page=1%d' % (n % 99), b'/hosts/well', b'/wall')[n % 4]\n"
        "        head = b' HTTP/1.1\\r\\nHost: localhost\\r\\nIf-None-Match: %d\\r\\n\\r\\n' % n\n"
        "        one.sendall((b'GET ' + path + head) * 20)\n"
        "        crowd.append(one)\n"
        "    except OSError:\n"
        "        pass\n"
        "    if len(crowd) > 200:\n"
        "        crowd.pop(0).close()\n"
    )

    def ticks(port: int) -> Any:
        return json.loads(ask(port, "GET", "/healthz")[1]).get("last_tick_wall", "")  # it may be full for a moment

    with socket.create_server(("127.0.0.1", 0)) as listening, activated(site, listening):
        port = listening.getsockname()[1]
        eventually(lambda: ask(port, "GET", "/healthz")[0] == 200, "the first evaluation")
        with subprocess.Popen([sys.executable, "-c", flood, str(port)]) as flooding:
            try:
                seen = [on_control(site)["last_tick_wall"]]
                for _ in range(10):
                    eventually(lambda: on_control(site)["last_tick_wall"] > seen[-1], "another evaluation")
                    seen.append(on_control(site)["last_tick_wall"])
            finally:
                flooding.kill()
        eventually(lambda: ticks(port) > seen[-1], "an answer after the flood")
        status, metrics = ask(port, "GET", "/metrics")

    assert status == 200
    assert b'fleet_health_hosts{state="firing"} 1\n' in metrics

    assert "Traceback" not in (site.directory / "service.log").read_text()


def on_control(site: Site) -> Any:
    """Return a response from the control socket."""
    with ApiClient(site.directory / "control.sock") as client:
        return client.ask("GET", "/healthz")[1]
