"""Whether a process is dying, from what the kernel shows about it."""

from __future__ import annotations

import os
import subprocess

import pytest

from fleet_health.files.dying import is_dying, is_dying_by

ALIVE = {"State": "S (sleeping)", "SigPnd": "0000000000000000", "ShdPnd": "0000000000000000", "CoreDumping": "0"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({}, False, id="it sleeps"),
        pytest.param({"State": "R (running)"}, False, id="it runs"),
        pytest.param({"State": "D (disk sleep)"}, False, id="it waits for a disk, and was not killed"),
        pytest.param({"State": "T (stopped)"}, False, id="it is stopped"),
        pytest.param({"State": "Z (zombie)"}, True, id="its first thread has ended"),
        pytest.param({"State": "X (dead)"}, True, id="it is dead"),
        pytest.param({"State": "D (disk sleep)", "SigPnd": "0000000000000100"}, True, id="its thread was killed"),
        pytest.param({"State": "D (disk sleep)", "ShdPnd": "0000000000000100"}, True, id="the process was killed"),
        pytest.param({"ShdPnd": "0000000000000101"}, True, id="it was killed, and hung up before"),
        pytest.param({"ShdPnd": "0000000000004000"}, False, id="it was asked to end (SIGTERM)"),
        pytest.param({"ShdPnd": "0000000000000080"}, False, id="the signal before SIGKILL"),
        pytest.param({"ShdPnd": "0000000000000200"}, False, id="the signal behind SIGKILL"),
        pytest.param({"CoreDumping": "1"}, True, id="it dumps core"),
    ],
)
def test_who_is_dying(said: dict[str, str], *, expected: bool) -> None:
    """Only a process that will not come back."""
    assert is_dying_by(ALIVE | said) is expected


def test_what_an_old_kernel_does_not_say() -> None:
    """A line that an old kernel lacks is not a sign of dying."""
    assert not is_dying_by({"State": "S (sleeping)"})


def test_who_lives_who_has_ended_and_who_is_gone() -> None:
    """A zombie is dying; a process that is gone is not."""
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert is_dying(child.pid)
    assert not is_dying(child.pid)
    assert not is_dying(os.getpid())
