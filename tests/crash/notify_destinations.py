"""The destinations of the crash rounds of notifications: a webhook, a mail server, a command and an Alertmanager.

Each runs in the network of its round. The first three refuse messages by chance, or take one without a response, and
write what they take into a file, so that a kill loses none of it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_string
from email.policy import default
from typing import TYPE_CHECKING, Any, Protocol

from tests.rig.alertmanager import PROGRAM, is_available

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import EmailMessage
    from pathlib import Path

    from tests.rig.cut_network import Enclosure

_MENDED = "mended"
"""The file in the directory of a round from which on every destination takes everything."""

# Arguments: the directory of the round, the name of the destination, the seed of its random choices, and its port.
_COMMON = r"""
import json, os, random, sys
directory, name, seed = sys.argv[1:4]
log = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
chance = random.Random(seed)
def choose():
    if os.path.exists(os.path.join(directory, "mended")):
        return "take"
    return chance.choices(["take", "refuse", "take and vanish", "vanish"], [5, 2, 2, 1])[0]
def note(**entry):
    os.write(log, json.dumps(entry).encode() + b"\n")
"""

_WEBHOOK = (
    _COMMON
    + r"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        what = choose()
        body = self.rfile.read(int(self.headers["content-length"]))
        if what.startswith("take"):
            note(document=json.loads(body))
        if what.endswith("vanish"):
            note(lost=self.headers["webhook-id"])
            self.connection.shutdown(2)
            self.close_connection = True
            return
        self.send_response(503 if what == "refuse" else 200)
        if what == "refuse":
            self.send_header("retry-after", "0")
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
Server(("127.0.0.1", int(sys.argv[4])), Handler).serve_forever(0.05)
"""
)

_MAIL = (
    _COMMON
    + r"""
import asyncio, email
from aiosmtpd.smtp import SMTP
class Handler:
    async def handle_DATA(self, server, session, envelope):
        what = choose()
        mail = envelope.content.decode("utf-8", "replace")
        if what.startswith("take"):
            note(mail=mail)
        if what.endswith("vanish"):
            note(lost=email.message_from_string(mail)["Message-ID"])
            server.transport.abort()
        return "451 4.3.0 later" if what == "refuse" else "250 2.0.0 Ok"
async def serve():
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Handler()), "127.0.0.1", int(sys.argv[4]))
    await server.serve_forever()
asyncio.run(serve())
"""
)

_COMMAND = (
    _COMMON
    + r"""
import time
document = json.load(sys.stdin)
chance = random.Random(seed + document["key"] + str(os.getpid()))
what = choose()
if what.startswith("take"):
    note(document=document)
if what.endswith("vanish"):
    note(lost=document["key"])
    time.sleep(60)
sys.exit(what == "refuse")
"""
)

_KINDS = {
    "silent since": "opening",
    "still silent": "repeat",
    "lost, silent since": "lost",
    "no longer silent": "resolution",
    "was silent": "resolution",
}
_in_mail = re.compile(rf"(?:- )?(host-\d+): ({'|'.join(_KINDS)})").match

HOSTS = 10
"""How many hosts may fall silent in a round: a mail names no more."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A notification that a destination took.

    Attributes:
        key: The key of its message, the same at each attempt.
        kind: What it reports.
        host: The host.
        is_unannounced: Whether it reports the opening too.

    """

    key: str
    kind: str
    host: str
    is_unannounced: bool


class Destination(Protocol):
    """A destination of a round."""

    name: str

    def table(self) -> str:
        """Return its table in the configuration."""
        ...

    def start(self) -> None:
        """Start it, if it runs at all."""
        ...

    def kill(self) -> None:
        """Kill it."""
        ...


@dataclass
class Recorder:
    """A destination that writes what it takes into a file.

    Attributes:
        directory: The directory of the round.
        enclosure: The network that it runs in.
        seed: What its random choices depend on.
        name: Its name, and that of the file.
        starts: How often it was started.

    """

    directory: Path
    enclosure: Enclosure
    seed: str
    name: str
    starts: int = 0

    def taken(self) -> list[Taken]:
        """Return what it has taken, in order; a message that came again only once.

        A mail that a killed process had handed to the kernel may come again much later, when the network is mended.
        """
        return list(dict.fromkeys(one for entry in self._entries() for one in _taken(entry)))

    def messages(self) -> Counter[str]:
        """Return how often each message was taken, by its key."""
        return Counter(taken[0].key for entry in self._entries() if (taken := list(_taken(entry))))

    def lost(self) -> Counter[str]:
        """Return how often no response came, by the key of the message."""
        return Counter(entry["lost"] for entry in self._entries() if "lost" in entry)

    def _entries(self) -> list[dict[str, Any]]:
        path = self.directory / self.name
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def _arguments(self, program: str) -> list[str]:
        return [sys.executable, "-I", "-c", program, str(self.directory), self.name, f"{self.seed} {self.starts}"]


@dataclass
class Server(Recorder):
    """One that is a process, which can be killed.

    Attributes:
        program: What it runs.
        port: Where it listens.
        keys: The keys of its configuration.

    """

    program: str = ""
    port: int = 0
    keys: str = ""

    def table(self) -> str:
        """Return its table in the configuration."""
        return f'[[destinations]]\nname = "{self.name}"\n{self.keys.format(port=self.port)}\ntimeout = "2s"\n'

    def start(self) -> None:
        """Start it."""
        self.starts += 1
        with (self.directory / f"{self.name}.log").open("ab") as log:
            command = self.enclosure.inside([*self._arguments(self.program), str(self.port)])
            self._process = subprocess.Popen(command, stderr=log)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


@dataclass
class Command(Recorder):
    """One that is started for each notification."""

    def table(self) -> str:
        """Return its table in the configuration."""
        command = json.dumps(self._arguments(_COMMAND))
        return f'[[destinations]]\nname = "{self.name}"\ntype = "exec"\ncommand = {command}\ntimeout = "2s"\n'

    def start(self) -> None:
        """Do nothing: `notify` starts it."""

    def kill(self) -> None:
        """Do nothing: it ends with `notify`, or by itself."""


@dataclass
class Alertmanager:
    """A real Alertmanager. It keeps no alert over a kill."""

    directory: Path
    enclosure: Enclosure
    name: str = "alertmanager"
    port: int = 9093
    log: Path = field(init=False)

    def table(self) -> str:
        """Return its table in the configuration."""
        peers = f'peers = ["http://127.0.0.1:{self.port}"]'
        return f'[[destinations]]\nname = "{self.name}"\ntype = "alertmanager"\n{peers}\ntimeout = "5s"\n'

    def start(self) -> None:
        """Start it."""
        storage = self.directory / "alertmanager-data"
        storage.mkdir(exist_ok=True)
        configuration = storage / "alertmanager.yml"
        configuration.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        command = [
            PROGRAM,
            f"--config.file={configuration}",
            f"--storage.path={storage}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
        with (self.directory / "alertmanager.log").open("ab") as log:
            self._process = subprocess.Popen(self.enclosure.inside(command), stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def firing(self) -> list[str] | None:
        """Return the hosts whose alerts it shows, sorted; None if it does not respond."""
        query = ["amtool", f"--alertmanager.url=http://127.0.0.1:{self.port}", "--output=json", "alert", "query"]
        done = subprocess.run(self.enclosure.inside(query), capture_output=True, check=False)
        if done.returncode:
            return None
        labels = [alert["labels"] for alert in json.loads(done.stdout)]
        return sorted(one["host"] for one in labels if one["symptom"] == "silent")


def recorders(directory: Path, enclosure: Enclosure, seed: str) -> tuple[Server | Command, ...]:
    """Return the destinations of a round that record what they take."""
    webhook = 'type = "webhook"\nurl = "http://127.0.0.1:{port}/"'
    mail = (
        'type = "mail"\nserver = "127.0.0.1:{port}"\nsecurity = "none"\nfrom = "fleet@example.org"\n'
        'to = ["ops@example.org"]'
    )
    return (
        Server(directory, enclosure, seed, "webhook", program=_WEBHOOK, port=8000, keys=webhook),
        Server(directory, enclosure, seed, "mail", program=_MAIL, port=8025, keys=mail),
        Command(directory, enclosure, seed, "exec"),
    )


def alertmanagers(directory: Path, enclosure: Enclosure) -> Sequence[Alertmanager]:
    """Return an Alertmanager, if it is installed."""
    return [Alertmanager(directory, enclosure)] if is_available() else []


def mend(directory: Path) -> None:
    """Let every destination of a round take everything from now on."""
    (directory / _MENDED).touch()


def _taken(entry: dict[str, Any]) -> Iterator[Taken]:
    if (one := entry.get("document")) is not None and one["symptom"] == "silent":
        yield Taken(one["key"], one["kind"], one["host"], one["is_unannounced"])
    elif "mail" in entry:
        mail: EmailMessage = message_from_string(entry["mail"], policy=default)
        for line in mail.get_content().splitlines():
            if (found := _in_mail(line)) is not None:
                is_unannounced = "Its opening could not be delivered" in line
                yield Taken(mail["Message-ID"], _KINDS[found[2]], found[1], is_unannounced)
