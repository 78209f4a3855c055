"""Work that another process does beside us."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from functools import partial
from typing import NoReturn
from unittest.mock import Mock

import pytest

from fleet_health.errors import ProcessFailed, SourceMissing
from fleet_health.replay.parallel import Beside, processors
from tests.rig.patience import PATIENCE_S


def name_us(number: int) -> tuple[int, int]:
    """Return the process that does it, and a number."""
    return os.getpid(), number


def refuse() -> NoReturn:
    """Raise something that a command says to its user."""
    raise SourceMissing("there is no index")


def test_it_gives_what_the_work_gives() -> None:
    """Of another process, several at a time."""
    works = [Beside(partial(name_us, number)) for number in range(3)]
    results = [work.result() for work in works]

    assert [number for _, number in results] == [0, 1, 2]
    assert len({os.getpid(), *(pid for pid, _ in results)}) == 4
    assert processors() >= 1


def test_it_raises_what_the_work_raises() -> None:
    """As if it had been done here."""
    with pytest.raises(SourceMissing, match="there is no index"):
        Beside(refuse).result()


INTERRUPTED = """
import os, signal, time
from fleet_health.replay.parallel import Beside

work = Beside(lambda: time.sleep(60))
os.killpg(0, signal.SIGINT)
work.result()
"""


def test_an_interrupt_ends_all_of_it() -> None:
    """And only we say so."""
    done = subprocess.run(
        ["env", "--default-signal=INT", sys.executable, "-c", INTERRUPTED],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        start_new_session=True,
        timeout=PATIENCE_S,
    )

    assert done.returncode == -signal.SIGINT
    assert done.stderr.count("Traceback") == 1


def test_that_it_was_killed_is_said() -> None:
    """Rather than waited for."""
    with pytest.raises(ProcessFailed, match="parallel process ended with status -9; check that there is enough memory"):
        Beside(lambda: os.kill(os.getpid(), signal.SIGKILL)).result()


def test_that_there_is_no_beginning_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a user has no process left; and interrupts come through again."""
    monkeypatch.setattr(os, "fork", Mock(side_effect=OSError(errno.EAGAIN, "Resource temporarily unavailable")))

    with pytest.raises(ProcessFailed, match="no further process can be started: Resource temporarily unavailable"):
        Beside(os.getpid)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
