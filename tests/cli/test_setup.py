"""`fleet-health setup`: from real journals of real servers to a configuration that watches them."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.journal import JournalFile
from tests.rig.patience import PATIENCE_S, POLL_S, Patience
from tests.rig.service_process import plain_environment
from tests.rig.site import index_row, now_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Finished, RunCommand

DATA = Path(__file__).parent / "data"
HOSTS = ("pi-01", "pi-02", "pi-03")


class Lab:
    """A machine's journal, with the programs that log to it, and the directory of a receiver."""

    def __init__(self, directory: Path) -> None:
        self.journal, self.config = directory / "journal", directory / "etc/config.toml"
        self.home = directory / "receiver"
        self.journal.mkdir()
        self.home.mkdir()
        self.config.parent.mkdir()
        self._file = JournalFile(self.journal / "system.journal")
        self._processes: list[subprocess.Popen[bytes]] = []

    def log(self, *lines: str, unit: str = "mine.service", **fields: str | int) -> None:
        """Write lines to the journal."""
        for line in lines:
            self._file.append(line, at_us=None, unit=unit, **fields)

    def serve(self, *hosts: str, unit: str = "mine.service", **fields: str | int) -> None:
        """Log uploads as uvicorn does."""
        self.log(*(f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e HTTP/1.1" 201' for host in hosts), unit=unit, **fields)

    def index(self, *hosts: str, home: Path | None = None) -> Path:
        """Write an index, and return its path."""
        path = (home or self.home) / "index.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(index_row(host, now_us()) for host in hosts))
        return path

    def process(self, home: Path | None = None) -> int:
        """Start a process in the directory of the receiver, and return its PID."""
        environment = {"PATH": os.environ["PATH"]}  # those of whoever runs the tests may lead anywhere
        self._processes.append(subprocess.Popen(["sleep", "600"], cwd=home or self.home, env=environment))
        return self._processes[-1].pid

    def close(self) -> None:
        """Flush all entries to the journal."""
        self._file.close()

    def end(self) -> None:
        """End the processes that were started."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._file.close()

    def arguments(self, *more: str) -> tuple[str, ...]:
        """Return the command line."""
        return ("setup", "--config", str(self.config), "--journal-directory", str(self.journal), *more)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose journal is empty."""
    one = Lab(tmp_path)
    yield one
    one.end()


@pytest.fixture
def setup(lab: Lab, run_command: RunCommand) -> Callable[..., Finished]:
    """Run the command on the lab's journal."""

    def run(*more: str) -> Finished:
        lab.close()
        return run_command(*lab.arguments(*more))

    return run


@pytest.mark.parametrize("name", ["nginx", "combined", "caddy"])
def test_recorded_lines_of_real_servers(
    name: str, lab: Lab, setup: Callable[..., Finished], run_command: RunCommand
) -> None:
    """The configuration is valid, and has the receiver's hosts and the index of its process."""
    index = lab.index("pi-01", "pi-02", "pi-04")
    pid = lab.process()
    lab.log(*(DATA / f"{name}-access.log").read_text().splitlines(), unit="proxy.service", _PID=pid)
    lab.log("Started.", "nothing of interest", unit="other.service")

    done = setup("--yes")

    assert done.status == 0, done.stderr
    assert "Guessed: proxy.service is a receiver." in done.stdout
    assert "7 lines of 9; by status 201: 3, 412: 3, 503: 1" in done.stdout
    document = tomllib.loads(lab.config.read_text())
    assert document["journal"]["unit"] == "proxy.service"
    assert document["index"] == {"path": str(index)}
    assert run_command("config", "check", "--config", lab.config).status == 0
    tried = run_command("patterns", "--config", lab.config, "--json").documents[0]
    assert tried["response"]["hosts"] == {"pi-01": 3, "pi-02": 2, "pi-03": 1, "pi-04": 1}


def test_only_what_differs_from_the_default_is_written(lab: Lab, setup: Callable[..., Finished]) -> None:
    """The default unit, pattern and keys are left out."""
    lab.index("pi-01")
    lab.serve("pi-01", unit="cis490-receiver.service", _PID=lab.process())

    assert setup("--yes").status == 0
    assert tomllib.loads(lab.config.read_text()) == {
        "journal": {"directory": str(lab.journal)},
        "index": {"path": str(lab.home / "index.jsonl")},
    }


def test_two_receivers(lab: Lab, setup: Callable[..., Finished], tmp_path: Path, run_command: RunCommand) -> None:
    """A program with an index of its hosts is a receiver. A proxy of another receiver is not."""
    homes = [tmp_path / "one", tmp_path / "two"]
    for home, host in zip(homes, ("pi-01", "pi-02"), strict=True):
        lab.index(host, home=home)
        lab.serve(host, host, unit=f"{home.name}.service", _PID=lab.process(home))
    lab.serve("pi-01", unit="proxy.service", _PID=lab.process(homes[0]))

    done = setup("--yes")

    receivers = tomllib.loads(lab.config.read_text())["receivers"]
    assert [(one["name"], one["journal"]["unit"], one["index"]["path"]) for one in receivers] == [
        (home.name, f"{home.name}.service", str(home / "index.jsonl")) for home in homes
    ]
    assert "3  proxy.service" in done.stdout
    assert run_command("config", "check", "--config", lab.config).status == 0


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        (
            {"unit": "docker.service", "CONTAINER_NAME": "receiver"},
            {"unit": "docker.service", "match": ["CONTAINER_NAME=receiver"]},
        ),
        (
            {"unit": "libpod-conmon-1.scope", "CONTAINER_NAME": "receiver", "_UID": 0},
            {"match": ["CONTAINER_NAME=receiver", "_UID=0"]},
        ),
        ({"unit": "quadlet.service", "CONTAINER_NAME": "receiver", "_UID": 0}, {"unit": "quadlet.service"}),
        (
            {"unit": "user@1000.service", "_SYSTEMD_USER_UNIT": "up.service", "_UID": 1000},
            {"match": ["_SYSTEMD_USER_UNIT=up.service", "_UID=1000"]},
        ),
    ],
    ids=["Docker", "Podman", "Quadlet", "user unit"],
)
def test_containers_and_units_of_users(
    entry: dict[str, str | int],
    written: dict[str, object],
    lab: Lab,
    setup: Callable[..., Finished],
    run_command: RunCommand,
) -> None:
    """The match is narrow enough to exclude lines of other programs."""
    lab.serve(*HOSTS, **entry)  # type: ignore[arg-type]

    assert setup("--yes").status == 0
    journal = tomllib.loads(lab.config.read_text())["journal"]
    assert {key: value for key, value in journal.items() if key != "directory"} == written
    checked = run_command("config", "check", "--file-only", "--config", lab.config)  # there is no index
    assert (checked.status, "warning" in checked.stdout) == (0, False)


def test_nothing_found_says_what_was_looked_at(lab: Lab, setup: Callable[..., Finished]) -> None:
    """It also shows lines about uploads that could not be parsed."""
    lab.log("Started.", "GET / HTTP/1.1", unit="web.service")
    lab.log("took a PUT /files/pi-01/x of 3 MB\x1b[31m", unit="odd.service")

    done = setup("--yes")

    assert done.status == 1
    assert "No receiver was found. Searched the latest 3 lines of 2 units" in done.stderr
    assert "odd.service has lines about uploads in an unknown format" in done.stderr
    assert r"took a PUT /files/pi-01/x of 3 MB\x1b[31m" in done.stderr
    assert "\x1b" not in done.stderr
    assert "What to do:" in done.stderr
    assert not lab.config.exists()


def test_print_writes_nothing(lab: Lab, setup: Callable[..., Finished]) -> None:
    """Stdout has only the configuration."""
    lab.serve(*HOSTS)

    done = setup("--print")

    assert done.status == 0
    assert tomllib.loads(done.stdout)["journal"]["unit"] == "mine.service"
    assert "is a receiver" in done.stderr
    assert not lab.config.exists()


def test_a_configuration_is_not_replaced_unasked(lab: Lab, setup: Callable[..., Finished]) -> None:
    """A file of comments is replaced. One with settings needs --replace, and a copy of it is kept."""
    lab.serve(*HOSTS)
    lab.config.write_text("# as installed\n")
    assert setup("--yes").status == 0

    lab.config.write_text('tick = "1m"\n')
    refused = setup("--yes")
    assert (refused.status, lab.config.read_text()) == (1, 'tick = "1m"\n')
    assert "contains settings" in refused.stderr

    assert setup("--yes", "--replace").status == 0
    assert "mine.service" in lab.config.read_text()
    assert lab.config.with_name("config.toml.before-setup").read_text() == 'tick = "1m"\n'
    assert sorted(path.name for path in lab.config.parent.iterdir()) == ["config.toml", "config.toml.before-setup"]


def test_questions_need_a_terminal(lab: Lab, setup: Callable[..., Finished]) -> None:
    """Without one, the command does not wait for answers."""
    lab.serve(*HOSTS)

    done = setup()

    assert done.status == 2
    assert "--yes" in done.stderr


def test_without_a_journal(lab: Lab, tmp_path: Path, run_command: RunCommand) -> None:
    """The error names the directory without a journal."""
    lab.serve(*HOSTS)
    lab.close()
    (tmp_path / "empty").mkdir()

    done = run_command("setup", "--yes", "--config", lab.config, "--journal-directory", tmp_path / "empty")

    assert done.status == 2
    assert "there is no journal in" in done.stderr
    assert not lab.config.exists()


class Terminal:
    """The command on a terminal, where a test types the answers."""

    def __init__(self, *arguments: str) -> None:
        self._fd, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fleet_health", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=plain_environment(),
            start_new_session=True,
            preexec_fn=lambda: _take_terminal(theirs),  # noqa: PLW1509 - Ctrl-C goes to whose terminal it is
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, text: str) -> None:
        """Read until the text is shown."""
        while text not in self.seen:
            assert select.select([self._fd], [], [], PATIENCE_S)[0], self.seen
            try:
                block = os.read(self._fd, 65536)
            except OSError:  # the other end is closed
                block = b""
            assert block, f"it ended without {text!r}: {self.seen}"
            self.seen += block.decode().replace("\r\n", "\n")

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type the answer."""
        self.wait_for(question)
        self.seen = self.seen.partition(question)[2]
        self._wait_until_it_reads()
        os.write(self._fd, text.encode())

    def _wait_until_it_reads(self) -> None:
        """Wait until it sleeps in read(2): a signal between question and call would be handled only after it."""
        syscall = Path(f"/proc/{self.process.pid}/syscall")
        patience = Patience()
        while syscall.read_text().split()[1:2] != ["0x0"]:
            assert patience.is_left, syscall.read_text()
            time.sleep(POLL_S)

    def finish(self) -> int:
        """Return the exit status."""
        status = self.process.wait(PATIENCE_S)
        os.set_blocking(self._fd, False)
        with suppress(OSError):  # there is nothing more, or the other end is closed
            self.seen += os.read(self._fd, 1 << 20).decode()
        os.close(self._fd)
        return status


def _take_terminal(fd: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(lab: Lab) -> Iterator[Callable[..., Terminal]]:
    """Start the command on a terminal."""
    started: list[Terminal] = []

    def start(*more: str) -> Terminal:
        lab.close()
        started.append(Terminal(*lab.arguments(*more)))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def test_a_conversation(lab: Lab, terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    """Invalid answers are asked again. An index that was not found is given by its path."""
    lab.index(*HOSTS)
    elsewhere = lab.index("pi-01", home=tmp_path / "elsewhere")
    lab.serve(*HOSTS, *HOSTS, _PID=lab.process())
    lab.serve("pi-01", unit="second.service")

    shell = terminal()
    shell.answer("Which is the receiver?", "7\n")
    shell.answer("expected numbers from 1 to 2, found '7'", "1\n")
    shell.answer("The index of mine.service", f"{tmp_path}/nothing\n")
    shell.answer("cannot be read", f"{elsewhere}\n")
    shell.answer(f"Write {lab.config}?", "maybe\n")
    shell.answer("expected yes or no, found 'maybe'", "\n")

    assert shell.finish() == 0
    document = tomllib.loads(lab.config.read_text())
    assert (document["journal"]["unit"], document["index"]["path"]) == ("mine.service", str(elsewhere))


@pytest.mark.parametrize("question", ["Is mine.service the receiver?", "The index of mine.service", "Write "])
@pytest.mark.parametrize("left_by", [("\x03", 130, "Interrupted"), ("\x04", 1, "No answer")], ids=["Ctrl-C", "Ctrl-D"])
def test_nothing_is_written_when_it_is_left(
    question: str, left_by: tuple[str, int, str], lab: Lab, terminal: Callable[..., Terminal]
) -> None:
    """Ctrl-C and Ctrl-D leave it at any question."""
    key, status, said = left_by
    lab.serve(*HOSTS)
    shell = terminal()
    for each in ("Is mine.service the receiver?", "The index of mine.service", "Write "):
        if each == question:
            shell.answer(each, key)
            break
        shell.answer(each, "\n")

    assert shell.finish() == status
    assert f"{said}: no file was written." in shell.seen
    assert list(lab.config.parent.iterdir()) == []


def test_no_is_an_answer(lab: Lab, terminal: Callable[..., Terminal]) -> None:
    """A file with settings is only replaced if the answer is yes. The default is no."""
    lab.serve(*HOSTS)
    lab.config.write_text('tick = "1m"\n')
    shell = terminal()
    shell.answer("Is mine.service the receiver?", "y\n")
    shell.answer("The index of mine.service", "none\n")
    shell.answer("contains settings. Replace it?", "\n")

    assert shell.finish() == 1
    assert lab.config.read_text() == 'tick = "1m"\n'
