"""Commands: what they are given, what they may take, and that nothing is left of them."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.notify.destination import DeliveryError
from fleet_health.notify.processes import OUTPUT_LIMIT, run
from tests.rig.descriptors import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_S = 60.0


def shell(script: str, document: bytes = b"", timeout_s: float = LONG_S) -> Any:
    """Run a script of the shell."""
    return run(["/bin/sh", "-c", script], document, timeout_s)


def is_alive(pid: str) -> bool:
    """Return whether a process runs."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_command_has_the_document_on_stdin() -> None:
    """A document that is larger than a pipe arrives as well."""
    finished = shell("wc -c; echo said on stderr >&2", b"x" * 1_000_000)

    assert finished.status == 0
    assert finished.output.decode().split("\n") == ["1000000", "said on stderr", ""]
    assert finished.line == "said on stderr"


def test_a_command_that_reads_nothing_is_no_error() -> None:
    """A command need not read its document."""
    assert shell("exit 3", b"x" * 1_000_000).status == 3


def test_a_signal_is_a_negative_status() -> None:
    """A command that a signal ended has the negative number of the signal as its status."""
    assert shell("kill -TERM $$").status == -15


@pytest.mark.fault("N7", rig="a real command")
def test_N7_its_output_is_kept_up_to_a_bound() -> None:
    """A command that prints without end fills no memory."""
    assert len(shell("head -c 1000000 /dev/zero").output) == OUTPUT_LIMIT


def test_its_line_controls_no_terminal() -> None:
    """The last line contains no terminal control characters."""
    assert shell("printf 'first\\nred \\033[31m\\n\\n'").line == "red \\x1b[31m"


def test_no_shell_is_involved(tmp_path: Path) -> None:
    """An argument with special characters stays one argument."""
    run(["/usr/bin/touch", f"{tmp_path}/a b; $(id)"], b"", LONG_S)

    assert [one.name for one in tmp_path.iterdir()] == ["a b; $(id)"]


@pytest.mark.fault("N7", rig="a real command")
def test_N7_what_is_over_time_is_killed_with_all_that_it_started(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    """A command that ignores SIGTERM, and its child in the background, are killed."""
    script = f"trap '' TERM; sleep 1000 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/own; while :; do sleep 1; done"
    with pytest.raises(DeliveryError) as caught:
        shell(script, timeout_s=3.0)

    assert str(caught.value) == "/bin/sh: it did not end within 3 s, and was killed"
    assert caught.value.is_response_lost
    for name in ("own", "child"):
        pid = (tmp_path / name).read_text()
        eventually(lambda pid=pid: not is_alive(pid), f"the end of {name}")


@pytest.mark.fault("N7", rig="a real command")
def test_N7_a_child_that_stays_behind_holds_nobody_up(eventually: Callable[..., Any]) -> None:
    """A child that keeps the output open is killed when its parent has ended."""
    before = time.monotonic()
    finished = shell("sleep 1000 & echo $!")

    assert finished.status == 0
    assert time.monotonic() - before < LONG_S
    eventually(lambda: not is_alive(finished.line), "the end of the child")


@pytest.mark.parametrize(
    ("program", "said"),
    [("nothing", "no such file or directory"), ("text", "permission denied"), ("broken", "exec format error")],
)
def test_what_cannot_be_started_is_said(tmp_path: Path, program: str, said: str) -> None:
    """The error names the program and the reason."""
    (tmp_path / "text").write_text("#!/bin/sh\n")
    (tmp_path / "broken").write_bytes(b"\x7fELF")
    (tmp_path / "broken").chmod(0o755)

    with pytest.raises(DeliveryError) as caught:
        run([str(tmp_path / program)], b"", LONG_S)

    assert str(caught.value) == f"{tmp_path / program}: it cannot be started: {said}"
    assert not caught.value.is_response_lost


def test_what_systemd_tells_us_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command cannot report to systemd in the name of `notify`."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("WATCHDOG_USEC", "1")

    assert b"NOTIFY_SOCKET" not in shell("env").output
    assert b"WATCHDOG_USEC" not in shell("env").output


def test_no_descriptor_is_left_open() -> None:
    """Neither many commands that ended nor one that could not be started leave a descriptor open."""
    before = open_descriptors()
    for _ in range(3):
        shell("exit 0")
    with pytest.raises(DeliveryError):
        run(["/nowhere"], b"", LONG_S)

    assert open_descriptors() - before == Counter()
