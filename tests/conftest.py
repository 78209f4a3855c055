"""What several floors' tests share: real files of a receiver, the service as a process, and waiting for a condition.

Test modules cannot import one another, so everything here is reached through fixtures.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, Self, TypeVar

import hypothesis
import pytest

from fleet_health.demo.journal import JournalFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# In CI a property is tried on the same examples each time: a change is judged by itself, not by chance. Everywhere else
# each run tries new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI") == "true":
    hypothesis.settings.load_profile("ci")

T = TypeVar("T")

PATIENCE_S = 30.0
"""How long a test waits for what must come; it is never reached when all is well."""

_POLL_S = 0.01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY = 65_534


class Eventually(Protocol):
    """Waits until a probe gives something true, and gives that."""

    def __call__(self, probe: Callable[[], T], what: str = "the condition") -> T:
        """Wait."""


class AsyncEventually(Protocol):
    """The same within a running loop."""

    async def __call__(self, probe: Callable[[], T], what: str = "the condition") -> T:
        """Wait."""


class DoWithout(Protocol):
    """Skips a test for want of something; in CI, where nothing may be wanting, it fails."""

    def __call__(self, reason: str) -> NoReturn:
        """Skip or fail."""


def now_us() -> int:
    """Tell the present, in microseconds."""
    return time.time_ns() // 1000


def iso(at_us: int) -> str:
    """Write an instant as the receiver does."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat()


def index_row(host: str, at_us: int) -> bytes:
    """Make a row of the receiver's index."""
    return json.dumps({"host_id": host, "received_at_wall": iso(at_us), "bytes": 1000}).encode() + b"\n"


@dataclass(slots=True)
class Site:
    """A receiver's real files in one directory, our configuration, and our alert log.

    Attributes:
        directory: Holds all of it.
        index: The receiver's index; made by the first `ship`.
        journal_directory: The journal's directory; made by the first entry.
        alerts: The alert log.
        config: The configuration; made by `configure`.
        EVERY_ALERT: What `show_all_symptoms` leads to, as `alerted` gives it.

    """

    EVERY_ALERT: ClassVar = [("quiet", "silent"), ("refused", "fatal-only"), ("unstamped", "unstamped")]

    directory: Path
    index: Path = field(init=False)
    journal_directory: Path = field(init=False)
    alerts: Path = field(init=False)
    config: Path = field(init=False)
    _journal: JournalFile | None = None

    def __post_init__(self) -> None:
        self.index = self.directory / "index.jsonl"
        self.journal_directory = self.directory / "journal"
        self.alerts = self.directory / "alerts.jsonl"
        self.config = self.directory / "config.toml"

    def configure(self, text: str = "", *, tick: str = "1s", **paths: Path) -> Path:
        """Write the configuration: the site's paths, or those given, and then `text`."""
        chosen = {"index": self.index, "journal": self.journal_directory, "alerts": self.alerts} | paths
        # A string of JSON is one of TOML too.
        self.config.write_text(
            f'tick = "{tick}"\n'
            f"index.path = {json.dumps(str(chosen['index']))}\n"
            f"journal.directory = {json.dumps(str(chosen['journal']))}\n"
            f"alerts.path = {json.dumps(str(chosen['alerts']))}\n{text}\n"
        )
        return self.config

    def ship(self, *hosts: str, minutes_ago: float = 0, at_us: int | None = None) -> None:
        """Append a row for each host to the index."""
        at_us = now_us() - round(minutes_ago * 60e6) if at_us is None else at_us
        with self.index.open("ab") as file:
            file.write(b"".join(index_row(host, at_us) for host in hosts))

    @property
    def journal(self) -> JournalFile:
        """The journal, open for writing."""
        if self._journal is None:
            self.journal_directory.mkdir(exist_ok=True)
            self._journal = JournalFile(self.journal_directory / "receiver.journal")
        return self._journal

    def answer(self, host: str, status: int, *, times: int = 1, at_us: int | None = None) -> None:
        """Append access lines to the journal."""
        for number in range(times):
            line = f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e{number} HTTP/1.1" {status}'
            self.journal.append(line, at_us=at_us)

    def warn_unstamped(self, host: str, *, times: int = 1, at_us: int | None = None) -> None:
        """Append warnings of uploads without a stamp to the journal."""
        for _ in range(times):
            self.journal.append(f"WARNING: missing X-Cis490-Code-Commit host={host}, refused", at_us=at_us)

    def show_all_symptoms(self) -> None:
        """Give every symptom a host of its own, and one host that is well."""
        self.ship("well")
        self.ship("quiet", minutes_ago=45)
        self.answer("well", 201, times=12)
        self.answer("refused", 412, times=12)
        self.warn_unstamped("unstamped", times=12)

    def sync_journal(self) -> None:
        """Return when every entry is in the journal file; it can be written on afterwards."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def alert_rows(self) -> list[dict[str, Any]]:
        """Read the alert log."""
        return [json.loads(line) for line in self.alerts.read_bytes().splitlines()] if self.alerts.exists() else []

    def alerted(self) -> list[tuple[str, str]]:
        """Give the host and symptom of each row of the alert log, sorted."""
        return sorted((row["host"], row["symptom"]) for row in self.alert_rows())


class NotifySocket:
    """The service manager's end of sd_notify: records every message, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))
        # A service that nobody listens to would stand still when the socket is full.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        while message := self._socket.recv(1 << 20):
            lines = message.decode().splitlines()
            self.messages.append({name: value for name, _, value in (line.partition("=") for line in lines)})

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RD)
        self._listener.join()
        self._socket.close()
        self.path.unlink()

    def having(self, name: str) -> list[dict[str, str]]:
        """Give the messages that assign a name."""
        return [message for message in self.messages if name in message]

    @property
    def status(self) -> str:
        """The latest STATUS."""
        statuses = self.having("STATUS")
        return statuses[-1]["STATUS"] if statuses else ""


class Service:
    """`fleet-health run` as a process, with a service manager that listens."""

    def __init__(self, site: Site, environment: dict[str, str], *program: str) -> None:
        self.site = site
        self._directory = Path(tempfile.mkdtemp(prefix="fleet-health-test-"))
        self.notify = NotifySocket(self._directory / "notify")
        self._stderr = self._directory / "stderr"
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, *program, "run", "--config", str(site.config), "--log-level", "debug"],
                env=_plain_environment() | {"NOTIFY_SOCKET": str(self.notify.path)} | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.notify.close()
        shutil.rmtree(self._directory)

    @property
    def stderr(self) -> str:
        """What it has written on stderr so far."""
        return self._stderr.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log so far; a line that is being written is left out."""
        return [json.loads(line) for line in self.stderr.splitlines(keepends=True) if line.endswith("}\n")]

    def events(self, event: str) -> list[dict[str, Any]]:
        """Give the log's lines of one event."""
        return [line for line in self.log if line["event"] == event]

    def evaluations(self) -> int:
        """Count the ticks so far."""
        return len(self.events("evaluated"))

    def until(self, probe: Callable[[], T], what: str) -> T:
        """Wait for something while the service runs; show its log if it does not come."""
        ends_at = time.monotonic() + PATIENCE_S
        while not (found := probe()):
            if self.process.poll() is not None or time.monotonic() > ends_at:
                found = probe()
                if not found:
                    pytest.fail(f"{what}: it did not come; exit status {self.process.poll()}\n{self.stderr}")
                break
            time.sleep(_POLL_S)
        return found

    def until_ready(self, times: int = 1) -> Self:
        """Wait until READY=1 has come so many times."""
        self.until(lambda: len(self.notify.having("READY")) >= times, "READY=1")
        return self

    def until_evaluated_anew(self) -> None:
        """Wait for an evaluation that begins after this call."""
        before = self.evaluations()
        # The first that is logged from now on may have begun before.
        self.until(lambda: self.evaluations() >= before + 2, "a tick")

    def reload(self) -> None:
        """Reload; return when systemd would."""
        before = len(self.notify.having("READY"))
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: len(self.notify.having("READY")) > before, "READY=1 after RELOADING=1")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; give its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


class StartService(Protocol):
    """Starts a service for a site; it ends with the context."""

    def __call__(self, site: Site, **environment: str) -> Service:
        """Start."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line on stdout."""
        return self.stdout.splitlines()[-1] if self.stdout else ""

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Stdout, as JSON a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


class RunCommand(Protocol):
    """Runs `fleet-health` to its end."""

    def __call__(self, *arguments: str | Path) -> Finished:
        """Run."""


def _plain_environment() -> dict[str, str]:
    ours = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"}
    return {name: value for name, value in os.environ.items() if name not in ours}


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Wait for a condition."""

    def wait(probe: Callable[[], T], what: str = "the condition") -> T:
        ends_at = time.monotonic() + PATIENCE_S
        while not (found := probe()):
            if time.monotonic() > ends_at:
                pytest.fail(f"{what}: it did not come")
            time.sleep(_POLL_S)
        return found

    return wait


@pytest.fixture(scope="session")
def async_eventually() -> AsyncEventually:
    """Wait for a condition, letting the loop run."""

    async def wait(probe: Callable[[], T], what: str = "the condition") -> T:
        ends_at = time.monotonic() + PATIENCE_S
        while not (found := probe()):
            if time.monotonic() > ends_at:
                pytest.fail(f"{what}: it did not come")
            await asyncio.sleep(_POLL_S)
        return found

    return wait


@pytest.fixture(scope="session")
def do_without() -> DoWithout:
    """Say that this machine cannot have what a test needs."""

    def skip(reason: str) -> NoReturn:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to have it: {reason}", pytrace=False)
        pytest.skip(reason)

    return skip


@pytest.fixture
def as_nobody(do_without: DoWithout) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Be an unprivileged user for as long as a context lasts."""
    if os.geteuid() != 0:
        do_without("only root can become somebody else")

    @contextlib.contextmanager
    def change() -> Iterator[None]:
        groups = os.getgroups()
        os.setgroups([])
        # The real ids too, for access(2) goes by them; the saved ones lead back.
        os.setresgid(_NOBODY, _NOBODY, 0)
        os.setresuid(_NOBODY, _NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)
            os.setgroups(groups)

    return change


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """Make a directory that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="fleet-health-test-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture
def small_disk(tmp_path: Path, do_without: DoWithout) -> Iterator[Path]:
    """Mount a disk of 16 KiB that can really be full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        do_without(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="session")
def make_site() -> Iterator[Callable[[Path], Site]]:
    """Make sites; their journals are closed at the end."""
    sites: list[Site] = []

    def make(directory: Path) -> Site:
        sites.append(Site(directory))
        return sites[-1]

    yield make
    for one in sites:
        one.sync_journal()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A receiver's files, none of them there yet, and a configuration of defaults with a tick of one second."""
    one = Site(tmp_path)
    one.configure()
    yield one
    one.sync_journal()


@pytest.fixture(scope="session")
def start_service() -> StartService:
    """Start services as processes."""

    def start(site: Site, **environment: str) -> Service:
        return Service(site, environment, "-m", "fleet_health")

    return start


@pytest.fixture(scope="session")
def start_altered_service() -> Callable[[Site, str], Service]:
    """Start services after some Python code: for what cannot be had otherwise, such as a part that hangs."""

    def start(site: Site, code: str) -> Service:
        return Service(site, {}, "-c", f"import sys\n{code}\nfrom fleet_health.__main__ import main\nsys.exit(main())")

    return start


@pytest.fixture(scope="session")
def run_command() -> RunCommand:
    """Run `fleet-health` with arguments, to its end."""

    def run(*arguments: str | Path) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "fleet_health", *arguments],
            env=_plain_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def check(site: Site, run_command: RunCommand) -> RunCommand:
    """Run `fleet-health check` on the site."""
    return partial(run_command, "check", "--config", site.config)
