"""Completion of names that the service knows, in a real bash and a real zsh on a terminal."""

from __future__ import annotations

import os
import pty
import select
import shlex
import socket
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from fleet_health.cli.commands.completion import completion
from fleet_health.cli.main import build_parser
from fleet_health.model.host_name import host_name
from tests.rig.patience import PATIENCE_S, POLL_S, Patience
from tests.rig.service_process import plain_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Eventually, RunCommand, Site, StartService

# Each is a name that a host can give itself; the index takes them as they are.
HOSTILE = ("x $(touch ran)", "x `touch ran`", "x;touch ran", 'x"y', "x'y", "x!y", "x*", "x\\y", "x:y=z", "x -rf", "xé")
MARK, MORE = "@@", "%%"


class Shell:
    """An interactive bash on a terminal that writes down the words of a line instead of running it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        program = directory / "bin/fleet-health"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fleet_health "$@"\n')
        program.chmod(0o755)
        (directory / "completion").write_text(completion(build_parser(), "bash"))
        (directory / "rc").write_text(
            f"PS1='{MARK} '; PS2='{MORE} '; . ./completion\n"
            "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'\n"
            "told() { printf '%s\\0' \"$@\" >told.new; mv told.new told; }\n"
        )

    def complete(self, line: str) -> tuple[str, ...]:
        """Type a line, press TAB at its end, and return the words that the shell then parses.

        They are empty if a quote is still open. On a busy machine, the response may come too late for a completion.
        """
        told = self.directory / "told"
        told.unlink(missing_ok=True)
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 500))  # a long line is not redrawn
        environment = {
            **plain_environment(),
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
            "TERM": "dumb",
            "HISTFILE": "/dev/null",
            "LC_ALL": "C.UTF-8",
        }
        bash = subprocess.Popen(
            ["bash", "--noprofile", "--rcfile", "rc", "-i"],
            cwd=self.directory,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""
        try:
            self._read_until(ours, lambda: MARK in self.seen)
            # Ctrl-A goes to the begin of the line, where `told ` makes the program an argument.
            os.write(ours, f"{line}\t\x01told \r".encode())
            self._read_until(ours, lambda: told.exists() or MORE in self.seen)
        finally:
            bash.kill()
            bash.wait()
            os.close(ours)
        return tuple(told.read_bytes().decode().rstrip("\0").split("\0")) if told.exists() else ()

    def _read_until(self, fd: int, is_over: Callable[[], bool]) -> None:
        patience = Patience()
        while not is_over():
            assert patience.is_left, self.seen
            if select.select([fd], [], [], POLL_S)[0]:
                self.seen += os.read(fd, 65536).decode(errors="replace")


@pytest.fixture
def shell(site: Site) -> Shell:
    """A bash in the directory of the site."""
    site.configure()
    return Shell(site.directory)


def test_hosts_and_silences_are_completed(
    site: Site, shell: Shell, start_service: StartService, run_command: RunCommand, eventually: Eventually
) -> None:
    """They are completed where they are expected. A unique match is followed by a space."""
    site.upload("pi-01", "bench-3")
    config = ("--config", str(site.config))
    with start_service(site):
        silenced = run_command("silence", *config, "bench-3", "--for", "2h", "--reason", "r", "--json")
        (silence,) = run_command("silence", *config, "list", "--json").documents[0]["silences"]

        assert silenced.status == 0
        for words, completed in (
            (("explain", *config, "pi"), "pi-01"),
            (("status", *config, "be"), "bench-3"),
            (("silence", *config, "pi"), "pi-01"),
            (("silence", *config, "exp"), "expire"),
            (("silence", *config, "expire", ""), silence["id"]),
            (("config", "show", *config, "pi"), "pi-01"),
        ):
            line = shlex.join(("fleet-health", *words)).removesuffix("''")
            whole = ("fleet-health", *words[:-1], completed)
            eventually(lambda line=line, whole=whole: shell.complete(line) == whole, line)  # type: ignore[misc]
        line = f"fleet-health explain --config {site.config} nothing"
        assert shell.complete(line) == tuple(shlex.split(line))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_word(
    name: str, site: Site, shell: Shell, start_service: StartService, eventually: Eventually
) -> None:
    """The shell parses the completed line as exactly the name that the service has, and runs nothing."""
    site.upload(name)
    line = f"fleet-health explain --config {site.config} x"
    whole = (*shlex.split(line)[:-1], host_name(name))
    with start_service(site):
        eventually(lambda: shell.complete(line) == whole, "its name")

    assert not (site.directory / "ran").exists()


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_between_quotes(
    quote: str, site: Site, shell: Shell, start_service: StartService, eventually: Eventually
) -> None:
    """It is completed within the open quotes."""
    site.upload("pi-01")
    line = f"fleet-health explain --config {site.config} {quote}pi"
    with start_service(site):
        eventually(lambda: shell.complete(line)[-1:] == ("pi-01",), "its name")


@pytest.mark.parametrize("fault", ["not running", "hanging", "a link", "bad configuration"])
def test_without_an_answer_nothing_is_offered(fault: str, site: Site, shell: Shell, run_command: RunCommand) -> None:
    """No error is printed, and the line does not change."""
    path = site.directory / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        if fault == "hanging":
            listener.bind(str(path))
            listener.listen()
        if fault == "bad configuration":
            site.config.write_text("control = [")
        if fault == "a link":
            path.symlink_to("/nowhere")
        line = f"fleet-health explain --config {site.config} pi"

        asked = run_command("__complete", "hosts", "pi", site.config)

        assert (asked.status, asked.stdout, asked.stderr) == (0, "", "")
        assert shell.complete(line) == tuple(shlex.split(line))
        assert "rror" not in shell.seen


def test_it_waits_a_tenth_of_a_second(site: Site) -> None:
    """It does not wait longer for a service that accepts the request and never responds."""
    site.configure()
    code = (
        "import time; from fleet_health.cli.names import print_names; begun = time.monotonic();"
        f" print_names(['hosts', 'p', {str(site.config)!r}]); print(time.monotonic() - begun)"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.directory / "control.sock"))
        listener.listen()
        taken = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert 0.1 <= float(taken) < PATIENCE_S
