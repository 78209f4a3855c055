"""`tests/run` itself: what it returns is what decides whether a change is accepted.

The script is the real one; the interpreters and checkers that it calls stand in for an hour of work.
"""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.rig.patience import PATIENCE_S, Patience

REPOSITORY = Path(__file__).parents[1]
CHECKERS = ("ruff", "mypy", "lint-imports", "pytest")


def script(path: Path, body: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout in which everything passes at once, on two interpreters."""
    (tmp_path / "tests").mkdir()
    shutil.copy(REPOSITORY / "tests/run", tmp_path / "tests/run")
    script(tmp_path / "packaging/bootstrap.sh", "exit 0")
    script(tmp_path / ".venv-tests/bin/python", 'case "$*" in *version_info*) echo 3.11;; esac')
    for checker in CHECKERS:
        script(tmp_path / ".venv-tests/bin" / checker, f"echo {checker} passed")
    script(tmp_path / ".venv-tests-3.13/bin/pytest", "echo pytest passed on 3.13")
    script(tmp_path / "bin/python3.13", "exit 0")
    return tmp_path


def run(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run `tests/run` there, with nothing else on its path."""
    environment = {"PATH": f"{checkout}/bin:/usr/bin:/bin", "HOME": str(checkout), "TMPDIR": str(checkout)}
    return subprocess.run(
        ["tests/run"], cwd=checkout, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_all_that_passes_is_success(checkout: Path) -> None:
    """Also when the other interpreter was done long before."""
    done = run(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pytest passed on 3.13" in done.stdout
    assert not list(checkout.glob("tmp.*"))


@pytest.mark.parametrize("checker", CHECKERS)
def test_what_one_checker_refuses_is_failure(checkout: Path, checker: str) -> None:
    """With the checker's own status."""
    script(checkout / ".venv-tests/bin" / checker, "exit 7")
    assert run(checkout).returncode == 7


def test_tests_that_cannot_be_collected_are_failure(checkout: Path) -> None:
    """And what is wrong with them is shown."""
    script(checkout / ".venv-tests/bin/pytest", 'case "$*" in *--collect-only*) echo no such module; exit 2;; esac')
    done = run(checkout)

    assert done.returncode == 2
    assert "no such module" in done.stdout


def test_a_failure_in_the_pure_floors_alone_is_failure(checkout: Path) -> None:
    """Though enough of them was tested."""
    script(
        checkout / ".venv-tests/bin/python",
        'case "$*" in *version_info*) echo 3.11;; *slipcover*) echo 1 failed; exit 1;; esac',
    )
    done = run(checkout)

    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_floors_that_are_not_tested_enough_are_failure(checkout: Path) -> None:
    """And what was measured is not left behind."""
    script(checkout / ".venv-tests/bin/python", 'case "$*" in *version_info*) echo 3.11;; *floors.py*) exit 1;; esac')

    assert run(checkout).returncode == 1
    assert not list(checkout.glob("tmp.*"))


def test_a_failure_on_the_other_interpreter_alone_is_failure(checkout: Path) -> None:
    """And what it printed is shown."""
    script(checkout / ".venv-tests-3.13/bin/pytest", "echo 1 failed; exit 1")
    done = run(checkout)
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_a_failure_on_the_machines_alone_is_failure(checkout: Path) -> None:
    """They are tested beside the rest."""
    script(checkout / ".venv-tests/bin/pytest", "case \"$*\" in *' tests/machine '*) echo 1 failed; exit 1;; esac")
    done = run(checkout)
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_a_failure_leaves_nothing_running(checkout: Path) -> None:
    """The other interpreter's tests end with ours."""
    script(checkout / ".venv-tests/bin/pytest", "while [ ! -e pid ]; do sleep 0.05; done; exit 1")
    script(checkout / ".venv-tests-3.13/bin/pytest", "echo $$ > pid.new; mv pid.new pid; sleep 300")
    assert run(checkout).returncode == 1
    process = Path("/proc", (checkout / "pid").read_text().strip())
    patience = Patience()
    while process.exists():
        assert patience.is_left, "it still runs"
        time.sleep(0.05)


def test_one_interpreter_is_enough(checkout: Path) -> None:
    """A name that does not run is no interpreter."""
    script(checkout / "bin/python3.13", "exit 1")
    done = run(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3.13" not in done.stdout
