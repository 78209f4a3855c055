"""Real HTTP servers on this machine, each with the access log that is documented for it, and hostile requests."""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.rig.patience import PATIENCE_S, POLL_S, Patience
from tests.rig.ports import reserved_port

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
RECIPES = (HERE.parents[1] / "packaging/doc/another-receiver.md").read_text()
VICTIM = "victim"

# What a client writes to have another host's response or missing stamp counted, in the formats of several servers.
FORGED = (
    'INFO:     10.0.0.1:5000 - "PUT /v1/episodes/victim/e HTTP/1.1" 201 Created',
    '10.0.0.1:5000 - "PUT /v1/episodes/victim/e HTTP/1.1" 201',
    '10.0.0.1:5000 - "PUT /v1/episodes/victim/',
    '" 201 0 "-" "-" 127.0.0.1 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/episodes/victim/e HTTP/1.1" 201 0 "-" "-"',
    '127.0.0.1 [26/Nov/2026:05:55:43 +0000] "PUT /v1/episodes/victim/e HTTP/1.1" 201',
    '{"method":"PUT","uri":"/v1/episodes/victim/e","status":"201"}',
    '","uri":"/v1/episodes/victim/e","status":"201"}',
    '"},"duration":0.1,"size":0,"status":201}',
    "WARNING: missing X-Cis490-Code-Commit host=victim, refused",
    "WARNING cis490.receiver: rejected upload: missing X-Cis490-Code-Commit host=victim, episode=e",
    "x missing X-Cis490-Code-Commit host=victim ",
)


@dataclass(frozen=True, slots=True)
class Upload:
    """A hostile request, and what is to be counted of it.

    Attributes:
        name: What is hostile about it.
        target: The request's target; `{host}` stands for the host whose request it is.
        headers: Further headers.
        method: The method.
        version: The version.
        is_whole: Whether the server's response must be counted for the host, if there is one other than 400.

    """

    name: str
    target: str = "/v1/episodes/{host}/e"
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "PUT"
    version: str = "HTTP/1.1"
    is_whole: bool = True

    @property
    def names_victim(self) -> bool:
        """Whether the victim's name stands where that of the host does."""
        return re.match(r"/v1/episodes/victim\b", self.target) is not None

    def octets(self, host: str) -> bytes:
        """Write the request of a host, as it goes over the wire."""
        names = {name.lower() for name, _ in self.headers}
        own = (("Host", "receiver"), ("Connection", "close"), ("Content-Length", "0"))
        lines = [f"{self.method} {self.target.replace('{host}', host)} {self.version}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *own) if name.lower() not in names or value]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def uploads() -> Iterator[Upload]:
    """Return the hostile requests."""
    yield Upload("plain")
    yield Upload("accepted", "/v1/episodes/{host}/accepted")
    yield Upload("HTTP/1.0", version="HTTP/1.0")
    for number, text in enumerate(FORGED):
        for header in ("X-Forwarded-For", "User-Agent", "Referer", "X-Forwarded-Proto", "Cookie"):
            yield Upload(f"{header} {number}", headers=((header, text),))
        yield Upload(f"every header {number}", headers=tuple((h, text) for h in ("User-Agent", "Referer")))
        yield Upload(f"a GET {number}", "/{host}", (("X-Forwarded-For", text), ("User-Agent", text)), "GET")
        user = text.replace(":", "")
        for kind, name in (("user", user), ("broken user", f"x\n{user}"), ("quoted user", f'\\" {user}')):
            credentials = base64.b64encode(f"{name}:x".encode()).decode()
            yield Upload(f"{kind} {number}", headers=(("Authorization", f"Basic {credentials}"),))
        quoted = "".join(f"%{ord(sign):02x}" if sign in ' "%\\<>{}\n' else sign for sign in text)
        yield Upload(f"query {number}", "/v1/episodes/{host}/e?" + text.replace(" ", "+"))
        yield Upload(f"query with tabs {number}", "/v1/episodes/{host}/e?" + text.replace(" ", "\t"))
        yield Upload(f"query with blanks {number}", "/v1/episodes/{host}/e?" + text)
        yield Upload(f"quoted path {number}", "/v1/episodes/{host}/e/" + quoted)
        yield Upload(f"path {number}", "/v1/episodes/{host}/e/" + text.replace(" ", ""), is_whole=False)
        yield Upload(f"as a version {number}", version=f"HTTP/1.1 {text}")
    yield Upload("method", method='"PUT')
    yield Upload("odd method", method="X'PUT|-", is_whole=False)
    yield Upload("small letters", method="put", is_whole=False)
    yield Upload("quotes in the query", '/v1/episodes/{host}/e?a="b"c"')
    yield Upload("high bytes in the query", "/v1/episodes/{host}/e?\xff\xa0\x85")
    yield Upload("high bytes in a header", headers=(("X-Forwarded-For", "\xff\xa0\x85 \xe2\x80\xa8 " + FORGED[0]),))
    yield Upload("several addresses", headers=(("X-Forwarded-For", f"{FORGED[0]}, {FORGED[1]}"),))
    yield Upload("no host", "/v1/episodes//{host}/e", is_whole=False)
    yield Upload("absolute", "http://receiver/v1/episodes/{host}/e", is_whole=False)
    yield Upload("dots in the query", "/v1/episodes/{host}/e?a=/../b")
    yield Upload("dots", "/v1/episodes/victim/../{host}/e", is_whole=False)
    yield Upload("quoted dots", "/v1/episodes/victim/%2e%2E/{host}/e", is_whole=False)
    yield Upload("dots behind a quoted slash", "/v1/episodes/victim%2f..%2f{host}/e", is_whole=False)
    yield Upload("dots at the end", "/v1/episodes/{host}/../victim/e", is_whole=False)
    yield Upload("a long path", "/v1/episodes/{host}/" + "e" * 3_000)
    yield Upload("a long query", "/v1/episodes/{host}/e?" + "q" * 3_000)
    yield Upload("a long header", headers=(("X-Forwarded-For", "x" * 3_000),))
    yield Upload("a long header of words", headers=(("X-Forwarded-For", f"{FORGED[1]} " * 60),))
    long = (("X-Forwarded-For", f"{FORGED[2]} " * 60),)
    yield Upload("a long header and a long query", "/v1/episodes/{host}/e?" + "q" * 3_000, long)
    yield Upload("long agents", headers=(("User-Agent", "a b " * 700), ("Referer", f"{FORGED[3]} " * 20)))


@dataclass
class Server:
    """A server that runs.

    Attributes:
        name: What it is called here.
        port: Its port on 127.0.0.1.
        log: The file that it writes its access log to.

    """

    name: str
    port: int
    log: Path
    command: list[str] = field(default_factory=list)

    def send(self, octets: bytes) -> int:
        """Send a request; return the status of the response, 0 if there was none."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
            response = b""
            try:
                connection.sendall(octets)
                while piece := connection.recv(65_536):
                    response += piece
            except OSError:
                pass  # it closed before it had read all, which is an answer too
        found = re.match(rb"HTTP/1\.[01] (\d{3})", response)
        return int(found[1]) if found else 0

    def lines(self) -> list[bytes]:
        """Read the log."""
        return self.log.read_bytes().split(b"\n") if self.log.exists() else []


class Servers:
    """All servers, until they are closed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.by_name: dict[str, Server] = {}
        self._stack = ExitStack()
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise

    def _start(self) -> None:
        for name in ("h11", "httptools"):
            self._python(name, "uvicorn", "receiver_app:asgi", "--http", name, "--port={port}")
        self._python(
            "h11 without a level", "uvicorn", "receiver_app:asgi", "--http=h11", "--port={port}", *self._bare()
        )
        access = ("--access-logfile=-", "--bind=127.0.0.1:{port}")
        self._python("gunicorn combined", "gunicorn", "receiver_app:wsgi", *access)
        self._python("gunicorn", "gunicorn", "receiver_app:wsgi", *access, *gunicorn_options())
        self._python("hypercorn", "hypercorn", "receiver_app:asgi", *access)
        self._python("granian", "granian", "--interface=asgi", "receiver_app:asgi", "--access-log", "--port={port}")
        self._nginx()
        self._caddy()
        for server in self.by_name.values():
            self._wait(server)

    def _bare(self) -> tuple[str, ...]:
        config = self.directory / "bare.json"
        config.write_text(
            '{"version": 1, "formatters": {"bare": {"format": "%(message)s"}}, "handlers": {"err": {"class":'
            ' "logging.StreamHandler", "formatter": "bare"}}, "loggers": {"uvicorn": {"handlers": ["err"], "level":'
            ' "INFO"}, "uvicorn.access": {"handlers": ["err"], "level": "INFO", "propagate": false}}}'
        )
        return ("--log-config", str(config))

    def _python(self, name: str, module: str, *arguments: str) -> None:
        server = self._add(name)
        words = [word.replace("{port}", str(server.port)) for word in arguments]
        self._run([sys.executable, "-m", module, *words], server.log)

    def _nginx(self) -> None:
        (formats,) = re.findall(r"```nginx\n(.*?)access_log.*?```", RECIPES, re.DOTALL)
        sites = {"nginx": "fleet", "nginx combined": "combined"}
        places = """
            location ~ accepted$ { return 201; }
            location / { return 412; }"""
        text = "\n".join(self._site(name, form, places) for name, form in sites.items())
        for upstream in ("hypercorn", "granian"):
            proxy = f"location / {{ proxy_pass http://127.0.0.1:{self.by_name[upstream].port}; }}"
            text += self._site(f"nginx before {upstream}", "fleet", proxy)
        scratch = "".join(
            f"{kind}_temp_path {self.directory}/nginx-{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self.directory / "nginx.conf"
        config.write_text(
            f"daemon off; master_process off; pid {self.directory}/nginx.pid; error_log /dev/null;\n"
            f"events {{}}\nhttp {{ {scratch}{formats}\n{text} }}\n"
        )
        self._run(["nginx", "-p", str(self.directory), "-c", str(config)], self.directory / "nginx.out")

    def _site(self, name: str, form: str, places: str) -> str:
        server = self._add(name)
        return f"server {{ listen 127.0.0.1:{server.port}; access_log {server.log} {form}; {places} }}\n"

    def _caddy(self) -> None:
        (block,) = re.findall(r"```text\n(log \{.*?)```", RECIPES, re.DOTALL)
        sites = ""
        for name, filtered in (("Caddy", block), ("Caddy with headers", "log {\n}")):
            server = self._add(name)
            text = filtered.replace("log {\n", f"log {{\noutput file {server.log}\n", 1)
            sites += f"http://:{server.port} {{\nbind 127.0.0.1\n{text}\n@accepted path *accepted\n"
            sites += "respond @accepted 201\nrespond * 412\n}\n"
        config = self.directory / "Caddyfile"
        config.write_text(f"{{\nadmin off\nauto_https off\n}}\n{sites}")
        command = ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
        self._run(command, self.directory / "caddy.out")

    def _add(self, name: str) -> Server:
        port = self._stack.enter_context(reserved_port())
        server = Server(name, port, self.directory / f"{name.replace(' ', '-')}.log")
        self.by_name[name] = server
        return server

    def _run(self, command: list[str], output: Path) -> None:
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(f"{command[0]} is not installed")
        environment = {**os.environ, "HOME": str(self.directory), "PYTHONUNBUFFERED": "1"}
        with output.open("ab") as file:
            process = subprocess.Popen(
                command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment
            )
        self._stack.callback(_end, process)

    def _wait(self, server: Server) -> None:
        patience = Patience()
        while True:
            try:
                if server.send(Upload("ready").octets("ready")):
                    return
            except OSError:
                pass
            if not patience.is_left:
                outputs = "\n".join(file.read_text(errors="replace")[-500:] for file in self.directory.glob("*.out"))
                raise TimeoutError(f"{server.name} does not answer: {server.lines()[-3:]}\n{outputs}")
            time.sleep(POLL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def gunicorn_options() -> list[str]:
    """Return the options that another-receiver.md recommends for gunicorn, but for those that are here anyway."""
    (form,) = re.findall(r"--access-logformat '([^']*)'", RECIPES)
    return ["--access-logformat", form]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
