"""The worked examples of the documentation, with the real servers: TLS, a login, and the page behind them."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.api.test_listener import activated, ask
from tests.rig.patience import PATIENCE_S
from tests.rig.ports import reserved_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import DoWithout, Eventually, Site

NAME = "fleet.example.org"
EXAMPLES = Path(__file__).parents[3].joinpath("packaging/doc/page.md").read_text()
UPSTREAM = "127.0.0.1:9490"
LOGIN = "ann:a password"
HASHED_BY_APACHE = "$apr1$abcdefgh$rugOf/MTcBqLGxzZTDmzM."
HASHED = "$2a$04$abcdefghijklmnopqrstuuQCzP7jzWZS/E3GL4oF3LWbHm3pfKHH."
"""The password as `caddy hash-password` hashes it, but for its cost: that is paid for each request."""


class Proxy:
    """A server in front of the page, as a browser reaches it."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        self._port = port
        self._clients: list[http.client.HTTPSConnection] = []
        self._trust = ssl.create_default_context()
        authority.configure_trust(self._trust)

    def get(self, target: str, login: str = LOGIN, method: str = "GET") -> tuple[int, http.client.HTTPResponse]:
        """Send a request with the name of the certificate. The body is not read yet."""
        connected = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
        client = http.client.HTTPSConnection(NAME, timeout=PATIENCE_S)
        self._clients.append(client)
        client.sock = self._trust.wrap_socket(connected, server_hostname=NAME)
        headers = {"Accept-Encoding": "gzip"}
        if login:
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        client.request(method, target, headers=headers)
        response = client.getresponse()
        return response.status, response

    def close(self) -> None:
        """End all connections."""
        for client in self._clients:
            client.close()


def example(language: str) -> str:
    """Return the documented example for a server."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", EXAMPLES, re.DOTALL)
    return str(text)


def replaced(text: str, changes: dict[str, str]) -> str:
    """Replace texts of an example by those of a test. Each must occur in it."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(directory: Path, port: int, upstream: str) -> list[str]:
    """Configure nginx as documented. Return the command that starts it."""
    (directory / "htpasswd").write_text(f"ann:{HASHED_BY_APACHE}\n")
    site = replaced(
        example("nginx"),
        {
            "443 ssl": f"127.0.0.1:{port} ssl",
            "/etc/ssl/fleet.example.org.pem": str(directory / "chain.pem"),
            "/etc/ssl/private/fleet.example.org.key": str(directory / "key.pem"),
            "/etc/nginx/fleet-health.htpasswd": str(directory / "htpasswd"),
            UPSTREAM: upstream,
            "    location / {": f"    location /fleet/ {{ proxy_pass http://{upstream}/; }}\n    location / {{",
        },
    )
    scratch = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off; {scratch}\n{site} }}\n"
    )
    return ["nginx", "-p", str(directory), "-c", str(config)]


def caddy(directory: Path, port: int, upstream: str) -> list[str]:
    """Configure Caddy as documented, but with our certificate. Return the command that starts it."""
    text = re.sub(r"\$2a\$\S+", lambda _: HASHED, example("caddyfile"))
    site = replaced(
        text,
        {
            f"{NAME} {{": f"{NAME}:{port} {{\n    tls {directory}/chain.pem {directory}/key.pem",
            UPSTREAM: upstream,
        },
    )
    config = directory / "Caddyfile"
    config.write_text(f"{{\nadmin off\nauto_https disable_redirects\n}}\n{site}")
    return ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]


@pytest.fixture(scope="module")
def upstream(make_site: Callable[[Path], Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start a real service; return its port."""
    site = make_site(tmp_path_factory.mktemp("site"))
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with socket.create_server(("127.0.0.1", 0)) as listening, activated(site, listening):
        yield listening.getsockname()[1]


@contextmanager
def running(command: list[str], directory: Path) -> Iterator[None]:
    """Run a server while a context lasts."""
    environment = {**os.environ, "HOME": str(directory)}
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize("server", [nginx, caddy])
def test_the_example_works(
    server: Callable[[Path, int, str], list[str]],
    upstream: int,
    tmp_path: Path,
    eventually: Eventually,
    do_without: DoWithout,
) -> None:
    """With TLS and a login the page is complete and live; without a login it is not served."""
    if shutil.which(server.__name__) is None:
        do_without(f"there is no {server.__name__}")
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(tmp_path / "chain.pem", append=True)
    eventually(lambda: ask(upstream, "GET", "/healthz")[0] == 200, "the first evaluation")

    def is_up() -> bool:
        with suppress(OSError):
            proxy.get("/page.css")
            return True
        return False

    with (
        reserved_port() as port,
        running(server(tmp_path, port, f"127.0.0.1:{upstream}"), tmp_path),
        closing(Proxy(port, authority)) as proxy,
    ):
        eventually(is_up, (tmp_path / "log").read_text())
        refused = [proxy.get("/", login)[0] for login in ("", "ann:wrong")]
        status, page = proxy.get("/")
        style = proxy.get("/page.css")[1]
        changing, post = proxy.get("/v1/silences", method="DELETE")[0], proxy.get("/", method="POST")[0]
        stream = proxy.get("/changes")[1]
        lines = [stream.readline() for _ in range(4)]
        below = proxy.get("/fleet/hosts/refused")[0]

    assert refused == [401, 401]
    assert (status, page.headers["Content-Encoding"], style.status) == (200, "gzip", 200)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert changing in {403, 405}
    assert post in {403, 405}
    assert lines[2:] == [b"data: changed\n", b"\n"]
    assert below == (200 if server is nginx else 404)
