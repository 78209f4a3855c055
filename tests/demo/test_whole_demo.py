"""`fleet-health demo` from its start to its end, as a newcomer runs it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import uuid
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from rich.console import Console

from fleet_health.cli.commands import demo
from fleet_health.demo import stage
from fleet_health.demo.alerts import EXPECTED
from fleet_health.demo.play import WentWrongError, play
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


class Demo:
    """The demo as a process. All of its children can be found by a variable in their environment."""

    def __init__(self, *arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> None:
        self.mark = f"FLEET_HEALTH_DEMO_TEST={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fleet_health", "demo", *arguments],
            env=os.environ | environment | {name: value},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    def finish(self) -> tuple[str, str]:
        """Wait for its end, and return stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        return (stdout or b"").decode(), stderr.decode()

    def running(self) -> list[str]:
        """Return the command lines of its processes."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended meanwhile, or is somebody else's
        return found

    def wait_until_it_watches(self) -> None:
        """Wait until all of its parts run."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "ready" in line.decode():
                return
        pytest.fail(f"the service did not become ready: {self.finish()}")


@pytest.fixture
def demo_ended() -> Iterator[list[Demo]]:
    """Collect demos, and kill those that still run after the test."""
    demos: list[Demo] = []
    yield demos
    for one in demos:
        one.process.kill()
        one.process.communicate()


class Shown(NamedTuple):
    """The output of a demo that ended by itself."""

    status: int
    stdout: str
    stderr: str
    directory: Path
    left_over: list[str]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    """Run the demo in a pipe and on a terminal of 80 columns, at the same time because it takes half a minute."""
    directories = {kind: tmp_path_factory.mktemp(kind) for kind in ("pipe", "terminal")}
    in_pipe = Demo("--keep", str(directories["pipe"]), COLUMNS="80")
    controller, terminal = pty.openpty()
    on_terminal = Demo(
        "--keep", str(directories["terminal"]), stdout=terminal, TERM="xterm-256color", COLUMNS="80", NO_COLOR="1"
    )
    os.close(terminal)
    drawn = b""
    while True:
        try:
            drawn += os.read(controller, 65536)
        except OSError:  # EIO: the terminal's last user has gone
            break
    os.close(controller)
    plain, plain_stderr = in_pipe.finish()
    _, drawn_stderr = on_terminal.finish()
    return {
        "pipe": Shown(in_pipe.process.returncode, plain, plain_stderr, directories["pipe"], in_pipe.running()),
        "terminal": Shown(
            on_terminal.process.returncode,
            drawn.decode(),
            drawn_stderr,
            directories["terminal"],
            on_terminal.running(),
        ),
    }


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_it_finds_three_sick_hosts_and_leaves_nothing_behind(kind: str, shown: dict[str, Shown]) -> None:
    """There are exactly three alerts, the exit status is 0, and no child is left."""
    one = shown[kind]

    assert (one.status, one.stderr, one.left_over) == (0, "", [])
    rows = [json.loads(line) for line in (one.directory / "alerts.jsonl").read_text().splitlines()]
    assert {(row["host"], row["symptom"]) for row in rows} == EXPECTED
    assert len({row["dedup_key"] for row in rows}) == len(rows)


def test_in_a_pipe_it_tells_in_plain_lines(shown: dict[str, Shown]) -> None:
    """Each alert has a line of its own. No line is longer than 80 columns or has an escape sequence."""
    stdout = shown["pipe"].stdout

    told = re.findall(r"^ALERT host=(\S+) symptom=(\S+) ", stdout, re.MULTILINE)
    assert set(told) == EXPECTED
    assert "\x1b" not in stdout
    assert max(len(line) for line in stdout.splitlines()) <= 80


def test_on_a_terminal_it_draws(shown: dict[str, Shown]) -> None:
    """It redraws its table, cuts nothing off at 80 columns, and with NO_COLOR it has no colours."""
    drawn = shown["terminal"].stdout

    assert "\x1b[2K" in drawn
    assert not re.search(r"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])m", drawn)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    assert set(re.findall(r"ALERT (\S+) (\S+)", text)) == EXPECTED
    # This marks a text that was cut. Alone, it is the placeholder for symptoms before the first evaluation.
    assert not re.search(r"\w…", text)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_it_ends_with_the_status_that_an_operator_sees(kind: str, shown: dict[str, Shown]) -> None:
    """It shows the output of `fleet-health status`, with all three symptoms."""
    _, heading, screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown[kind].stdout).partition("$ fleet-health status")

    assert heading
    assert "4 hosts: 3 firing, 1 well" in screen
    assert {(host, symptom) for host, symptom in EXPECTED if re.search(rf"! {host} +{symptom} ", screen)} == EXPECTED
    assert screen.splitlines()[-1].startswith("last tick ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interruption_ends_all_of_it(number: signal.Signals, demo_ended: list[Demo]) -> None:
    """A signal ends it without a traceback, and no child survives it."""
    one = Demo()
    demo_ended.append(one)
    one.wait_until_it_watches()
    one.process.send_signal(number)
    _, stderr = one.finish()

    assert one.process.returncode == 128 + number
    assert stderr == "fleet-health demo: interrupted; all processes that it started have ended\n"
    assert one.running() == []


def test_its_children_do_not_even_survive_a_kill(demo_ended: list[Demo]) -> None:
    """After SIGKILL, no process is left."""
    one = Demo()
    demo_ended.append(one)
    one.wait_until_it_watches()
    assert len(one.running()) > 1
    one.process.kill()
    one.process.wait()

    give_up_at = time.monotonic() + PATIENCE_S
    while one.running() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert one.running() == []


async def test_a_service_that_does_not_start_is_shown_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the service ends, the demo ends with its exit status and log."""
    monkeypatch.setattr(stage, "_CONFIG", 'tick = "{tick}s"\nnonsense = true')

    with pytest.raises(WentWrongError, match=r"(?s)the service ended with status 2.*nonsense"):
        await asyncio.wait_for(play(tmp_path, Console(file=io.StringIO()), seconds=0, kept=False), timeout=PATIENCE_S)


def test_it_does_not_take_a_directory_that_is_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory with files is refused and does not change."""
    (tmp_path / "alerts.jsonl").touch()

    assert demo.run(Namespace(keep=tmp_path, seconds=0)) == 2
    assert f"{tmp_path} is not empty" in capsys.readouterr().err


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the optional packages or systemd-journal-remote, it says what to install, with exit status 2."""
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(demo, "find_writer", lambda: None)

    assert demo.run(Namespace(keep=None, seconds=0)) == 2
    assert capsys.readouterr().err.splitlines() == [
        "fleet-health demo: the demo needs rich, which is not installed: pip install 'fleet-health[demo]'",
        "the demo needs systemd-journal-remote, which is not installed: apt install systemd-journal-remote",
    ]


def test_the_command_line_does_not_need_the_extra() -> None:
    """The program and its help work without rich and uvicorn."""
    code = (
        "import sys; sys.modules |= dict.fromkeys(('rich', 'uvicorn')); from fleet_health.__main__ import main; main()"
    )
    shown = subprocess.run([sys.executable, "-c", code, "--help"], check=False, capture_output=True, text=True)

    assert "demo" in shown.stdout, shown.stderr
